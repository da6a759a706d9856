//! Placement as tables: members and where each address is, then where each should go.

use super::*;

fn name(text: &str) -> InterfaceName {
    text.parse().unwrap()
}

/// `ge0 ok`, `ge1 failed`, `ge2 standby ok`, `ge3 nofailback ok`, `ge4 v4only ok` …
fn members(text: &str) -> Vec<Member> {
    text.split(',')
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let has = |word: &str| words.contains(&word);
            let fitness = if has("absent") {
                Fitness::Absent
            } else if has("failed") {
                Fitness::Unfit
            } else if has("waiting") {
                Fitness::Waiting
            } else if has("notargets") {
                Fitness::LastResort
            } else {
                Fitness::Usable
            };
            let mut families = BTreeSet::from([Family::Inet]);
            if !has("v4only") {
                families.insert(Family::Inet6);
            }
            Member {
                name: name(words[0]),
                families,
                fitness,
                standby: has("standby"),
                failback: !has("nofailback"),
            }
        })
        .collect()
}

/// `home` or `home@at`, moved by the administrator `home@at=moved_to`; IPv6 with a `6` in front, withheld with
/// a `!` behind, not up with a `-`, and then `+member` if that one has it too.
fn addresses(text: &str) -> Vec<Movable<String>> {
    text.split_whitespace()
        .enumerate()
        .map(|(i, word)| {
            let (family, places) = match word.strip_prefix('6') {
                Some(places) => (Family::Inet6, places),
                None => (Family::Inet, word),
            };
            let (places, holder) = match places.split_once('+') {
                Some((places, holder)) => (places, Some(name(holder))),
                None => (places, None),
            };
            let (places, withheld) = match places.strip_suffix('!') {
                Some(places) => (places, true),
                None => (places, false),
            };
            let (places, up) = match places.strip_suffix('-') {
                Some(places) => (places, false),
                None => (places, true),
            };
            let (home, at) = places.split_once('@').unwrap_or((places, places));
            let (at, moved_to) = match at.split_once('=') {
                Some((at, moved_to)) => (at, Some(name(moved_to))),
                None => (at, None),
            };
            Movable {
                key: i.to_string(),
                family,
                home: name(home),
                at: name(at),
                moved_to,
                up,
                withheld,
                barred: BTreeSet::new(),
                held_by: holder.into_iter().collect(),
            }
        })
        .collect()
}

fn moved(group: &str, placed: &str) -> String {
    let mut addresses = addresses(placed);
    let members = members(group);
    let moves = placement(&members, &addresses);
    let text: Vec<String> = moves
        .iter()
        .map(|m| format!("{}:{}>{}", m.key, m.from, m.to))
        .collect();
    for m in &moves {
        addresses.iter_mut().find(|a| a.key == m.key).unwrap().at = m.to.clone();
    }
    assert_eq!(
        placement(&members, &addresses),
        [],
        "not settled: {group} | {placed}"
    );
    text.join(" ")
}

#[test]
fn table() {
    for (group, placed, expected) in [
        // Two active members, both directions, and home again.
        ("ge0 ok, ge1 ok", "ge0 ge1", ""),
        ("ge0 ok, ge1 failed", "ge0 ge1", "1:ge1>ge0"),
        ("ge0 failed, ge1 ok", "ge0 ge1", "0:ge0>ge1"),
        ("ge0 ok, ge1 ok", "ge0 ge1@ge0", "1:ge0>ge1"),
        // What is not up stays where its name is, and goes on when it is brought up.
        ("ge0 ok, ge1 failed", "ge0 ge1-", ""),
        ("ge0 ok, ge1 failed", "ge0@ge1- ge1", "0:ge1>ge0 1:ge1>ge0"),
        ("ge0 failed, ge1 failed, ge2 ok", "ge0@ge1-", ""),
        ("ge0 ok, ge1 absent", "ge0 ge1- ge0@ge1-", "2:ge1>ge0"),
        ("ge0 failed, ge1 absent, ge2 ok", "ge0@ge1-", "0:ge1>ge2"),
        // Unless there is no such name there.
        (
            "ge0 failed, ge1 v4only failed, ge2 ok",
            "6ge0@ge1-",
            "0:ge1>ge2",
        ),
        // Nobody works: nothing moves. One comes back: it serves everything.
        ("ge0 failed, ge1 failed", "ge0 ge1@ge0", ""),
        ("ge0 ok, ge1 failed", "ge0@ge1 ge1", "0:ge1>ge0 1:ge1>ge0"),
        ("ge0 failed, ge1 ok", "ge0 ge1@ge0", "0:ge0>ge1 1:ge0>ge1"),
        ("ge0 ok, ge1 waiting", "ge0 ge1", ""),
        // A standby takes over before active members, and is emptied on repair.
        ("ge0 failed, ge1 ok, ge2 standby", "ge0 ge1", "0:ge0>ge2"),
        ("ge0 ok, ge1 ok, ge2 standby", "ge0@ge2 ge1", "0:ge2>ge0"),
        ("ge0 ok, ge1 standby failed", "ge0", ""),
        // A standby in use fails too.
        (
            "ge0 failed, ge1 ok, ge2 standby failed",
            "ge0@ge2 ge1",
            "0:ge2>ge1",
        ),
        // A used standby is a member like others: the idle one is preferred.
        (
            "ge0 failed, ge1 failed, ge2 standby, ge3 standby",
            "ge0@ge2 ge1",
            "1:ge1>ge3",
        ),
        // An idle standby does not keep an address of its own.
        ("ge0 ok, ge1 standby", "ge0 ge1", "1:ge1>ge0"),
        ("ge1 standby", "ge1", ""),
        // Nor does it get one back, unless it gets others too.
        ("ge0 failed, ge1, ge2 standby", "ge2@ge0 ge1", "0:ge0>ge1"),
        (
            "ge0 failed, ge1, ge2 standby",
            "ge2@ge0 ge0 ge1",
            "0:ge0>ge2 1:ge0>ge2",
        ),
        ("ge0 failed, ge2 standby", "ge2@ge0", "0:ge0>ge2"),
        // What is withheld is no reason to use a standby.
        ("ge0 failed, ge1, ge2 standby", "ge0! ge1", "0:ge0>ge2"),
        (
            "ge0, ge1, ge2 standby",
            "ge2 ge0@ge2!",
            "0:ge2>ge1 1:ge2>ge0",
        ),
        (
            "ge0 failed, ge1, ge2 standby",
            "ge2@ge0 ge0! ge1",
            "0:ge0>ge1 1:ge0>ge1",
        ),
        (
            "ge0 failed, ge1, ge2 standby, ge3 failed",
            "ge0@ge2! ge1 ge3",
            "2:ge3>ge2",
        ),
        // The one with the fewest addresses takes over; ties by name.
        ("ge0 failed, ge1 ok, ge2 ok", "ge0 ge1 ge1 ge2", "0:ge0>ge2"),
        ("ge0 failed, ge1 ok, ge2 ok", "ge0 ge1 ge2", "0:ge0>ge1"),
        // What is withheld counts: it comes up when others were asked, or when another host leaves it.
        (
            "ge0 failed, ge1 ok, ge2 ok",
            "ge0 ge1 ge1! ge2",
            "0:ge0>ge2",
        ),
        // All of one interface go to one destination, also what it holds for others.
        (
            "ge0 failed, ge1 failed, ge2 ok",
            "ge0 ge0 ge1@ge0",
            "0:ge0>ge2 1:ge0>ge2 2:ge0>ge2",
        ),
        // FAILBACK=no: stays, then the parked one takes everything.
        ("ge0 nofailback, ge1 nofailback", "ge0@ge1 ge1", ""),
        (
            "ge0 nofailback, ge1 failed nofailback",
            "ge0@ge1 ge1",
            "0:ge1>ge0 1:ge1>ge0",
        ),
        (
            "ge0 nofailback, ge1 failed nofailback, ge2 ok nofailback",
            "ge0@ge2 ge1 ge2",
            "1:ge1>ge0",
        ),
        (
            "ge0 nofailback, ge1 failed nofailback, ge2 ok nofailback",
            "ge0@ge2 ge1 ge2 ge0!",
            "1:ge1>ge0",
        ),
        (
            "ge0 nofailback, ge1 failed nofailback, ge2 ok nofailback",
            "ge0@ge2 ge1 ge0",
            "1:ge1>ge0",
        ),
        // Only the link is known: last resort, but home is home.
        ("ge0 failed, ge1 notargets, ge2 ok", "ge0 ge2", "0:ge0>ge2"),
        ("ge0 failed, ge1 notargets", "ge0", "0:ge0>ge1"),
        ("ge0 notargets, ge1 ok", "ge0@ge1 ge1", "0:ge1>ge0"),
        // Where the administrator moved it, whenever that works, and home meanwhile.
        ("ge0, ge1, ge2", "ge0@ge0=ge1 ge0", "0:ge0>ge1"),
        ("ge0, ge1, ge2", "ge0@ge1=ge1 ge0", ""),
        ("ge0, ge1, ge2", "ge0@ge2=ge1 ge0", "0:ge2>ge1"),
        (
            "ge0, ge1 failed, ge2",
            "ge0@ge1=ge1 ge1",
            "0:ge1>ge0 1:ge1>ge2",
        ),
        ("ge0, ge1 failed, ge2", "ge0@ge0=ge1", ""),
        ("ge0 failed, ge1 failed, ge2", "ge0@ge1=ge1", "0:ge1>ge2"),
        ("ge0 failed, ge1, ge2", "ge0@ge1=ge1 ge0", "1:ge0>ge2"),
        ("ge0, ge1 waiting, ge2", "ge0@ge1=ge1", ""),
        ("ge0, ge1 absent, ge2", "ge0@ge1=ge1", "0:ge1>ge0"),
        ("ge0, ge1 v4only", "6ge0@ge0=ge1", ""),
        // To a standby, which is in use then; and out of the group, which counts for nothing.
        ("ge0, ge1 standby", "ge0@ge0=ge1 ge0", "0:ge0>ge1"),
        ("ge0, ge1", "ge0@ge0=ge9", ""),
        ("ge0, ge1", "ge0@ge9=ge9", "0:ge9>ge0"),
        // Whether or not addresses come home by themselves.
        ("ge0 nofailback, ge1 nofailback", "ge0@ge0=ge1", "0:ge0>ge1"),
        (
            "ge0 nofailback, ge1 failed nofailback, ge2 nofailback",
            "ge0@ge1=ge1 ge2",
            "0:ge1>ge0",
        ),
        // A family that the destination lacks.
        (
            "ge0 failed, ge1 v4only, ge2 ok",
            "ge0 6ge0 ge2 ge2",
            "0:ge0>ge2 1:ge0>ge2",
        ),
        // If all others do, each family goes where it can.
        ("ge0 failed, ge1 v4only", "ge0 6ge0", "0:ge0>ge1"),
        ("ge0 absent, ge1 v4only", "ge0 6ge0", "0:ge0>ge1"),
        (
            "ge0 absent, ge1 v4only, ge2 failed",
            "ge0 6ge0",
            "0:ge0>ge1 1:ge0>ge2",
        ),
        // Unless a member has it that would not get it; one that would comes before that.
        (
            "ge0 failed, ge1 v4only",
            "ge0 6ge0+ge1",
            "0:ge0>ge1 1:ge0>ge1",
        ),
        ("ge0 failed, ge1 v4only", "6ge0@ge1+ge1", ""),
        ("ge0 failed, ge1 v4only", "6ge0@ge1", ""),
        ("ge0, ge1 v4only nofailback", "6ge0@ge1+ge0", "0:ge1>ge0"),
        ("ge0, ge1 v4only", "6ge0+ge1", ""),
        ("ge0 failed, ge1 v4only failed", "6ge0+ge1", ""),
        ("ge0 failed, ge1 v4only, ge2 v4only", "6ge0@ge1+ge2", ""),
        ("ge0 failed, ge1 v4only, ge2", "6ge0+ge1", "0:ge0>ge2"),
        (
            "ge0 absent, ge1 v4only, ge2 failed",
            "6ge0+ge1",
            "0:ge0>ge1",
        ),
        ("ge0 waiting, ge1", "ge0+ge1 ge0", "0:ge0>ge1"),
        // One that nothing sends away stays with the member that has it, and goes to no other.
        ("ge0 waiting, ge1, ge2 standby", "ge0+ge1 ge0", "0:ge0>ge1"),
        ("ge0 waiting, ge1, ge2", "ge0+ge2 ge2", "0:ge0>ge2"),
        ("ge0 waiting, ge1 v4only, ge2", "6ge0+ge1", "0:ge0>ge2"),
        ("ge0 waiting, ge1, ge2 standby", "ge2@ge0+ge2", "0:ge0>ge1"),
        ("ge0 waiting, ge2 standby", "ge2@ge0+ge2", "0:ge0>ge2"),
        ("ge0, ge1 waiting, ge2", "ge0@ge1=ge1+ge2", "0:ge1>ge0"),
        (
            "ge0 nofailback, ge1 waiting, ge2",
            "ge0@ge1=ge1+ge2",
            "0:ge1>ge2",
        ),
        // On an interface that left the group.
        ("ge0 ok, ge1 ok", "ge0@ge9 ge1", "0:ge9>ge0"),
        ("ge0 failed, ge1 ok", "ge0@ge9 ge1", "0:ge9>ge1"),
        ("ge0 failed", "ge0@ge9", "0:ge9>ge0"),
        // On an interface that is not there, and nobody works: somewhere is better than nowhere.
        (
            "ge0 failed, ge1 absent",
            "ge0@ge1 ge1",
            "0:ge1>ge0 1:ge1>ge0",
        ),
        (
            "ge0 absent, ge1 failed, ge2 waiting",
            "ge0 ge1",
            "0:ge0>ge2",
        ),
        ("ge0 absent, ge1 absent", "ge0 ge1@ge0", ""),
        ("ge0 absent, ge1 ok", "ge0 ge1", "0:ge0>ge1"),
    ] {
        assert_eq!(moved(group, placed), expected, "{group} | {placed}");
    }
}
