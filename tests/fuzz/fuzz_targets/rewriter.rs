//! Any chunking, same bytes; and what was cleared once stays as it is.
#![no_main]

mod shop;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (size, page) = input;
    let whole = shop::rewrite(page, page.len());
    let pieces = shop::rewrite(page, usize::from(size));
    assert_eq!(whole, pieces, "the size of the pieces changed the page");
    if let Some(cleared) = whole {
        let again = shop::rewrite(&cleared, cleared.len()).expect("what left once can leave again");
        assert_eq!(cleared, again, "a cleared page has something left to clear");
    }
});
