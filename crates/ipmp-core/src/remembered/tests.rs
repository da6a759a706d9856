//! Who is forgotten, and who is not.

use super::{MOST, Remembered};

#[test]
fn of_too_many_the_one_that_was_changed_longest_ago_is_forgotten() {
    let mut remembered: Remembered<usize, u32> = Remembered::default();
    for key in 0..MOST {
        *remembered.change(key, || 0) += 1;
    }
    // The first by name is in use.
    *remembered.change(0, || 0) += 1;
    *remembered.change(MOST, || 0) += 1;
    assert_eq!(remembered.get(&0), Some(&2));
    assert_eq!(remembered.get(&1), None);
    assert_eq!(remembered.get(&2), Some(&1));
    assert_eq!(remembered.get(&MOST), Some(&1));
    assert_eq!(remembered.iter().count(), MOST);
}
