use super::*;

fn append(writer: &mut Writer, count: u64) {
    for _ in 0..count {
        let text = format!("line {}", writer.next_seq());
        writer.append(UnixMicros(1), 0, 1, Uuid::nil(), text.as_bytes());
    }
    writer.flush().unwrap();
}

fn read_all(reader: &mut Reader) -> Vec<u64> {
    let mut numbers = Vec::new();
    loop {
        let batch = reader.next_batch(512).unwrap();
        if batch.is_empty() {
            return numbers;
        }
        numbers.extend(batch.into_iter().map(|record| record.seq));
    }
}

#[test]
fn what_is_written_is_read_in_order_across_segments_and_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(folder.path(), 64 * 1024).unwrap();
    let mut reader = Reader::new(folder.path(), 0);
    append(&mut writer, 100);
    assert_eq!(read_all(&mut reader), (1..=100).collect::<Vec<_>>());
    drop(writer);
    let mut writer = Writer::open(folder.path(), 64 * 1024).unwrap();
    append(&mut writer, 100);
    assert!(writer.segments.len() > 1);
    assert_eq!(read_all(&mut reader), (101..=200).collect::<Vec<_>>());
    assert_eq!(read_all(&mut Reader::new(folder.path(), 150)), (151..=200).collect::<Vec<_>>());
}

#[test]
fn from_outside_it_is_seen_whether_there_may_be_more() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("spool");
    let mut reader = Reader::new(&folder, 0);
    assert!(!reader.may_have_more(), "there is no folder");
    let mut writer = Writer::open(&folder, 64 * 1024).unwrap();
    assert!(reader.may_have_more());
    append(&mut writer, 1);
    // Long ago, so that the next segment comes at another moment whatever the file system's clock.
    let ago = SystemTime::now() - std::time::Duration::from_secs(60);
    File::open(&folder).unwrap().set_modified(ago).unwrap();
    assert_eq!(read_all(&mut reader), [1]);
    assert!(!reader.may_have_more());
    append(&mut writer, 1);
    assert!(reader.may_have_more(), "the segment became longer");
    assert_eq!(read_all(&mut reader), [2]);
    assert!(!reader.may_have_more());
    let segments = writer.segments.len();
    while writer.segments.len() == segments {
        append(&mut writer, 1);
    }
    let (newest, _) = *writer.segments.back().unwrap();
    reader.next_seq = newest;
    reader.open.as_mut().unwrap().1.seek(SeekFrom::End(0)).unwrap();
    assert!(reader.may_have_more(), "another segment came");
    read_all(&mut reader);
    assert!(!reader.may_have_more());
}

#[test]
fn acknowledged_segments_go_and_the_rest_stays() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(folder.path(), 16 * 1024).unwrap();
    for _ in 0..10 {
        append(&mut writer, 20);
    }
    let before = writer.segments.len();
    writer.ack(150).unwrap();
    assert!(writer.segments.len() < before);
    assert_eq!(read_all(&mut Reader::new(folder.path(), 150)), (151..=200).collect::<Vec<_>>());
    assert_eq!(writer.take_dropped(), 0);
}

#[test]
fn beyond_the_limit_the_oldest_go_and_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(folder.path(), 16 * 1024).unwrap();
    for _ in 0..50 {
        append(&mut writer, 20);
    }
    let dropped = writer.take_dropped();
    assert!(dropped > 0);
    assert_eq!(read_all(&mut Reader::new(folder.path(), 0)), (dropped + 1..=1000).collect::<Vec<_>>());
}

#[test]
fn a_new_spool_is_held_until_its_writer_ends() {
    let parent = tempfile::tempdir().unwrap();
    let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let (_, later) = hold_new(parent.path(), two).unwrap();
    let (folder, held) = hold_new(parent.path(), one).unwrap();
    let look = || find(parent.path()).unwrap();
    let state: Vec<_> = look().iter().map(|spool| (spool.name, spool.is_held)).collect();
    assert_eq!(state, [(one, true), (two, true)]);
    drop(held);
    assert_eq!(look()[0], Found { name: one, folder: folder.clone(), is_held: false });
    assert!(look()[1].is_held);
    Writer::open(&folder, 1024).unwrap();
    assert!(hold_new(parent.path(), one).is_err(), "the name was used");
    drop(later);
    assert!(find(&parent.path().join("none")).unwrap().is_empty());
}

/// Found by the fuzz target `spool`.
#[test]
fn a_record_with_a_number_beyond_all_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(folder.path(), 64 * 1024).unwrap();
    append(&mut writer, 1);
    writer.next_seq = u64::MAX - 1;
    append(&mut writer, 1);
    drop(writer);
    assert_eq!(read_all(&mut Reader::new(folder.path(), 0)), [1]);
    assert_eq!(Writer::open(folder.path(), 64 * 1024).unwrap().next_seq(), 2);
}

#[test]
fn a_record_cut_by_a_kill_is_taken_off() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(folder.path(), 64 * 1024).unwrap();
    append(&mut writer, 3);
    drop(writer);
    let path = segment_path(folder.path(), 1);
    let length = std::fs::metadata(&path).unwrap().len();
    OpenOptions::new().write(true).open(&path).unwrap().set_len(length - 2).unwrap();
    let mut writer = Writer::open(folder.path(), 64 * 1024).unwrap();
    append(&mut writer, 1);
    assert_eq!(read_all(&mut Reader::new(folder.path(), 0)), [1, 2, 3]);
    assert_eq!(read_all(&mut Reader::new(folder.path(), 2)), [3]);
}
