//! Whatever a Range header asks for, a page has at most what is allowed, and `Next-Range` leads through the whole range.
#![no_main]

use libfuzzer_sys::fuzz_target;
use paddock_wire::range::{Attribute, Key, MAX_LIMIT, Order, Page, Range, paginate, parse};

/// More than two of the largest pages.
const THINGS: i64 = 2_500;
const ATTRIBUTES: [Attribute<i64>; 2] = [
    Attribute { name: "id", key: |thing| Key::Text(format!("{thing:04}")) },
    Attribute { name: "version", key: |thing| Key::Number(*thing) },
];

fuzz_target!(|header: &str| {
    let Ok(range) = parse(Some(header)) else { return };
    assert!((1..=MAX_LIMIT).contains(&range.max));
    let Ok(mut page) = cut(&range) else { return };
    let mut seen = page.items.clone();
    while let Some(header) = &page.next_range {
        let next = parse(Some(header)).expect("a header of ours");
        assert_eq!((next.max, next.order, &next.end), (range.max, range.order, &range.end));
        assert_eq!(page.items.len(), range.max, "a page that leads on is full");
        page = cut(&next).expect("a header of ours");
        assert!(page.items.len() <= range.max && !page.items.is_empty());
        seen.extend(&page.items);
    }
    let ascends = seen.is_sorted_by(|one, next| one < next);
    let descends = seen.is_sorted_by(|one, next| one > next);
    assert!(if range.order == Order::Ascending { ascends } else { descends });
    if range.start.is_none() && range.end.is_none() {
        assert_eq!(seen.len(), (0..THINGS).count(), "nothing is left out");
    }
});

fn cut(range: &Range) -> Result<Page<i64>, paddock_wire::range::InvalidRange> {
    paginate((0..THINGS).collect(), range, &ATTRIBUTES)
}
