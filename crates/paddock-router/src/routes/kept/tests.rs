use paddock_ipc::routes::{AppRoute, Web};
use proptest::prelude::*;

use super::*;

fn route(name: &str) -> AppRoute {
    AppRoute {
        name: name.to_owned(),
        hosts: vec![format!("{name}.test")],
        maintenance: false,
        web: Web::None,
        error_page_url: None,
        maintenance_page_url: None,
        data: Default::default(),
    }
}

fn table(generation: u64) -> RouteTable {
    RouteTable {
        generation,
        domain: "paddock.test".into(),
        resolvers: Vec::new(),
        hosts: Default::default(),
        apps: [("a".to_owned(), route("first"))].into(),
        proxy_form: None,
        trusted_proxies: Vec::new(),
    }
}

fn change(after: u64, id: &str, name: &str) -> AppChange {
    let route = (!name.is_empty()).then(|| route(name));
    AppChange { after, generation: after + 1, id: id.to_owned(), route }
}

/// A folder with a table and these changes of it, and the tables that they made.
fn kept(changes: &[(String, String)]) -> (tempfile::TempDir, Kept, Vec<RouteTable>) {
    let folder = tempfile::tempdir().unwrap();
    let (mut kept, none) = Kept::open(folder.path());
    assert_eq!(none, None);
    let mut made = vec![table(3)];
    kept.put(&made[0]).unwrap();
    for (id, name) in changes {
        let mut next = made.last().unwrap().clone();
        let change = change(next.generation, id, name);
        kept.append(&change).unwrap();
        assert!(next.change(change));
        made.push(next);
    }
    (folder, kept, made)
}

fn read(folder: &Path) -> RouteTable {
    Kept::open(folder).1.unwrap()
}

fn changes() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec(("[a-c]", "[a-z]{0,3}"), 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn wherever_a_journal_is_cut_the_whole_lines_before_it_count(
        changes in changes(),
        cut in any::<prop::sample::Index>(),
        after in prop::option::of("[a-z]{1,3}"),
    ) {
        let (folder, kept, mut made) = kept(&changes);
        let journal = std::fs::read(&kept.journal).unwrap_or_default();
        let cut = cut.index(journal.len() + 1);
        std::fs::write(&kept.journal, &journal[..cut]).unwrap();
        let whole = journal[..cut].iter().filter(|byte| **byte == b'\n').count();
        made.truncate(whole + 1);
        let (mut again, read) = Kept::open(folder.path());
        prop_assert_eq!(read.as_ref(), made.last());

        // It goes on behind the last whole line.
        if let Some(name) = after {
            let mut next = made.pop().unwrap();
            let change = change(next.generation, "z", &name);
            again.append(&change).unwrap();
            prop_assert!(next.change(change));
            prop_assert_eq!(self::read(folder.path()), next);
        }
    }

    #[test]
    fn a_byte_that_changed_hides_what_follows_and_nothing_else(
        changes in changes(),
        at in any::<prop::sample::Index>(),
        byte: u8,
    ) {
        let (folder, kept, made) = kept(&changes);
        let mut journal = std::fs::read(&kept.journal).unwrap_or_default();
        prop_assume!(!journal.is_empty());
        let at = at.index(journal.len());
        let before = journal[..at].iter().filter(|byte| **byte == b'\n').count();
        let was = std::mem::replace(&mut journal[at], byte);
        prop_assume!(was != byte);
        std::fs::write(&kept.journal, &journal).unwrap();
        prop_assert_eq!(read(folder.path()), made[before].clone());
    }

    #[test]
    fn a_table_and_its_journal_are_one_table_afterwards(changes in changes()) {
        let (folder, mut kept, made) = kept(&changes);
        let journal = std::fs::read(&kept.journal).unwrap_or_default();
        kept.compact().unwrap();
        let last = made.last().unwrap();
        prop_assert_eq!(&read(folder.path()), last);
        prop_assert!(!kept.journal.exists());

        // Killed between the two steps: the journal is there still, and says nothing new.
        std::fs::write(&kept.journal, &journal).unwrap();
        let (mut again, read) = Kept::open(folder.path());
        prop_assert_eq!(read.as_ref(), Some(last));
        let mut next = last.clone();
        let change = change(next.generation, "z", "more");
        again.append(&change).unwrap();
        prop_assert!(next.change(change));
        prop_assert_eq!(self::read(folder.path()), next);
    }
}

#[test]
fn changes_that_follow_another_table_are_not_carried_out() {
    let (folder, mut kept, _) = kept(&[]);
    kept.append(&change(9, "a", "stray")).unwrap();
    kept.append(&change(3, "a", "late")).unwrap();
    assert_eq!(read(folder.path()), table(3));
}

#[test]
fn a_journal_without_its_table_says_nothing() {
    let (folder, kept, _) = kept(&[("a".into(), "one".into())]);
    std::fs::remove_file(&kept.table).unwrap();
    assert_eq!(Kept::open(folder.path()).1, None);
    std::fs::write(&kept.table, "{").unwrap();
    assert_eq!(Kept::open(folder.path()).1, None);
}

#[test]
fn a_table_of_version_2_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let ours = RouteTable { apps: [("a".to_owned(), route("one"))].into(), ..table(5) };
    let old = serde_json::to_vec(&ours.clone().with_one_list_of_hosts()).unwrap();
    std::fs::write(folder.path().join(TABLE), old).unwrap();
    assert_eq!(read(folder.path()), ours);
}

#[test]
fn what_is_written_at_a_change_does_not_grow_with_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let (mut kept, _) = Kept::open(folder.path());
    let apps = (0..2_000).map(|n| (format!("{n}"), route(&format!("app-{n}")))).collect();
    let mut whole = RouteTable { apps, ..table(3) };
    kept.put(&whole).unwrap();
    let one = change(whole.generation, "7", "changed");
    kept.append(&one).unwrap();
    assert!(kept.journal_bytes < 300 && kept.table_bytes > 200_000);
    assert!(whole.change(one));

    // It becomes a table when it has outgrown that, and not before.
    let mut written = 0;
    while !kept.is_outgrown() {
        let next =
            change(whole.generation, "7", if whole.generation.is_multiple_of(2) { "even" } else { "odd" });
        kept.append(&next).unwrap();
        assert!(whole.change(next));
        written += 1;
    }
    assert!(written > 1_000, "{written}");
    kept.compact().unwrap();
    assert!(!kept.is_outgrown());
    assert_eq!(read(folder.path()), whole);
}
