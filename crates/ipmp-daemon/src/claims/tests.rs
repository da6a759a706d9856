use super::*;

#[test]
fn hardware_addresses_that_links_had_are_forgotten_though_nobody_looks() {
    let mac = |n: u64| MacAddress([2, 0, 0, 0, 0, u8::try_from(n).unwrap()]);
    let mut former = Former::default();
    for seconds in 0..200 {
        let now = Time::from_millis(1000 * seconds);
        former.remember(now, [mac(seconds), mac(255)]);
        assert!(former.has(now, mac(seconds)));
        assert!(former.has(now, mac(255)));
        let last = seconds.saturating_sub(9);
        assert!(former.has(now, mac(last)), "{last} s at {seconds} s");
        if let Some(over) = seconds.checked_sub(10) {
            assert!(!former.has(now, mac(over)), "{over} s at {seconds} s");
        }
        assert!(former.0.len() <= 11, "{former:?}");
    }
}
