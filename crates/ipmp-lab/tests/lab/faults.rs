//! Every fault shows its effect, and only that.

use std::time::{Duration, Instant};

use ipmp_lab::traffic::{Ping, UdpStream};
use ipmp_lab::{Direction, Host, LabError, wait_until};

use crate::{Outcome, Pair, Test, equal, holds, host, ip, lab, ms};

pub(crate) const TESTS: &[Test] = &[
    ("faults::a_pulled_cable_takes_the_carrier", pull),
    ("faults::a_flapping_cable_comes_back", flap),
    ("faults::a_silent_port_keeps_the_carrier", silence),
    ("faults::one_way", one_way),
    ("faults::loss_is_as_asked_and_repeats", loss),
    ("faults::duplicates", duplicate),
    ("faults::delay", delay),
    ("faults::a_nic_taken_out_comes_back_the_same", hot_plug),
    ("faults::a_dead_uplink_leaves_the_carrier", uplink),
    ("faults::stations_move_and_age", learning),
];

/// Long enough for anything that happens at all.
const SOON: Duration = Duration::from_secs(10);

fn carrier(host: &Host) -> Result<String, LabError> {
    host.read_file("/sys/class/net/ge0/carrier")
}

fn received(pair: &Pair) -> Result<usize, LabError> {
    Ok(Ping::count(&pair.host1, ip(2), 5, ms(5))?.received())
}

/// Waits until all is answered, which after plugging a cable is not at once.
fn answers_again(pair: &Pair) -> Outcome {
    wait_until("answers again", SOON, || received(pair) == Ok(5))?;
    Ok(())
}

fn pull() -> Outcome {
    let pair = Pair::new()?;
    equal("before", received(&pair)?, 5)?;
    pair.nic2.cable.pull()?;
    equal("carrier", carrier(&pair.host2)?, "0\n".into())?;
    equal("carrier of the other", carrier(&pair.host1)?, "1\n".into())?;
    holds(
        "forgotten",
        !pair.switch.has_learnt(pair.nic2.mac, &pair.nic2.cable),
    )?;
    equal("pulled", received(&pair)?, 0)?;
    pair.nic2.cable.plug()?;
    equal("carrier", carrier(&pair.host2)?, "1\n".into())?;
    answers_again(&pair)
}

fn flap() -> Outcome {
    let pair = Pair::new()?;
    let changes = |host: &Host| host.read_file("/sys/class/net/ge0/carrier_changes");
    let before: u32 = changes(&pair.host2)?.trim().parse()?;
    let start = Instant::now();
    pair.nic2.cable.flap(3, ms(10))?;
    holds("takes its time", start.elapsed() >= ms(60))?;
    let after: u32 = changes(&pair.host2)?.trim().parse()?;
    equal("changes", after - before, 6)?;
    answers_again(&pair)
}

fn silence() -> Outcome {
    let pair = Pair::new()?;
    equal("before", received(&pair)?, 5)?;
    pair.nic2.cable.silence();
    equal("silent", received(&pair)?, 0)?;
    equal("carrier", carrier(&pair.host2)?, "1\n".into())?;
    holds(
        "not forgotten",
        pair.switch.has_learnt(pair.nic2.mac, &pair.nic2.cable),
    )?;
    holds(
        "swallowed",
        pair.nic2.cable.counter(Direction::Receive).swallowed >= 5,
    )?;
    pair.nic2.cable.unsilence();
    equal("afterwards", received(&pair)?, 5)
}

fn one_way() -> Outcome {
    let pair = Pair::new()?;
    equal("before", received(&pair)?, 5)?;
    for (open, forth_lost) in [(Direction::Transmit, true), (Direction::Receive, false)] {
        pair.nic2.cable.one_way(open);
        let (from, to) = ((&pair.host1, ip(1)), (&pair.host2, ip(2)));
        let stream = UdpStream::start(from, to, ms(1), ms(100))?;
        let report = stream.finish()?;
        let (lost, whole) = if forth_lost {
            (report.forth, report.back)
        } else {
            (report.back, report.forth)
        };
        equal("against it", lost.received(), 0)?;
        equal("with it", whole.lost(), 0)?;
    }
    pair.nic2.cable.heal()?;
    equal("healed", received(&pair)?, 5)
}

fn loss() -> Outcome {
    // Two labs of one seed lose the same.
    let lost = || -> Result<Vec<u64>, Box<dyn std::error::Error>> {
        let pair = Pair::new()?;
        equal("before", received(&pair)?, 5)?;
        pair.nic2.cable.loss(30);
        let trail = Ping::count(&pair.host1, ip(2), 400, ms(1))?;
        let counters =
            [Direction::Receive, Direction::Transmit].map(|d| pair.nic2.cable.counter(d));
        // Both ways at 30 %, 51 % are lost on average; five standard deviations are 12 %.
        holds("about half", (156..252).contains(&trail.lost()))?;
        Ok(counters.iter().map(|counter| counter.swallowed).collect())
    };
    let (first, second) = (lost()?, lost()?);
    let [a, b] = [&first, &second].map(|swallowed| swallowed.first().copied());
    // Neighbour discovery may add a frame now and then.
    holds(
        &format!("repeats: {a:?} {b:?}"),
        a.zip(b).is_some_and(|(a, b)| a.abs_diff(b) <= 2),
    )
}

fn duplicate() -> Outcome {
    let pair = Pair::new()?;
    equal("before", received(&pair)?, 5)?;
    pair.nic2.cable.duplicate(100);
    let (from, to) = ((&pair.host1, ip(1)), (&pair.host2, ip(2)));
    let report = UdpStream::start(from, to, ms(1), ms(50))?.finish()?;
    equal("lost", report.lost(), 0)?;
    // The last one's second copy may come after the count.
    holds(
        "twice",
        report.forth.duplicates() + 1 >= report.forth.sent() as u64,
    )
}

fn delay() -> Outcome {
    let pair = Pair::new()?;
    equal("before", received(&pair)?, 5)?;
    pair.nic2.cable.delay(ms(50));
    let trail = Ping::count(&pair.host1, ip(2), 10, ms(5))?;
    equal("lost", trail.lost(), 0)?;
    holds("there and back", trail.shortest_delay() >= ms(100))
}

fn hot_plug() -> Outcome {
    let pair = Pair::new()?;
    equal("before", received(&pair)?, 5)?;
    pair.host2.unplug_nic("ge0")?;
    equal(
        "devices",
        pair.host2.run("ls /sys/class/net")?.stdout,
        "lo\n".into(),
    )?;
    equal("gone", received(&pair)?, 0)?;
    holds("twice is an error", pair.host2.unplug_nic("ge0").is_err())?;
    pair.nic2.cable.pull()?; // a cable without a NIC can be pulled
    pair.host2.plug_nic("ge0")?;
    let mac = pair.host2.read_file("/sys/class/net/ge0/address")?;
    equal("address", mac.trim().parse(), Ok(pair.nic2.mac))?;
    pair.host2.configure("ge0", "10.0.0.2/24")?;
    equal("carrier", carrier(&pair.host2)?, "0\n".into())?;
    pair.nic2.cable.plug()?;
    answers_again(&pair)
}

fn uplink() -> Outcome {
    let lab = lab()?;
    let (access, core) = (lab.switch(), lab.switch());
    let trunk = access.trunk(&core);
    let (host1, _) = host(&lab, &access, 1)?;
    let (_host2, _) = host(&lab, &core, 2)?;
    let (_host3, _) = host(&lab, &access, 3)?;
    let received =
        |to| -> Result<usize, LabError> { Ok(Ping::count(&host1, ip(to), 5, ms(5))?.received()) };
    equal("across", received(2)?, 5)?;
    trunk.pull()?;
    equal("across", received(2)?, 0)?;
    equal("beside", received(3)?, 5)?;
    equal("carrier", carrier(&host1)?, "1\n".into())?;
    trunk.plug()?;
    equal("across", received(2)?, 5)
}

fn learning() -> Outcome {
    let pair = Pair::new()?;
    equal("before", received(&pair)?, 5)?;
    let learnt = |nic: &ipmp_lab::Nic| pair.switch.has_learnt(pair.nic1.mac, &nic.cable);
    holds("at home", learnt(&pair.nic1))?;
    // The same address seen on another port: the entry moves.
    let third = pair.lab.host("host3")?;
    let impostor = third.nic_with_mac("ge0", &pair.switch, pair.nic1.mac)?;
    third.configure("ge0", "10.0.0.3/24")?;
    Ping::count(&third, ip(2), 1, ms(5))?;
    holds("moved", learnt(&impostor) && !learnt(&pair.nic1))?;
    pair.host1.set_up("ge0", false)?;
    third.set_up("ge0", false)?;
    pair.switch.ageing(ms(1));
    wait_until("entry aged", SOON, || !learnt(&impostor))?;
    Ok(())
}
