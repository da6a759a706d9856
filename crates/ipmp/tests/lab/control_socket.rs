//! What a client may do to the control socket, and the daemon still answers.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use libtest_mimic::Failed;

use crate::bad_input::unharmed;
use crate::bed::{Bed, PATIENCE, run_directory};

const SLOW: u32 = 10_000;

tests![
    socket_random_bytes,
    socket_huge_frame,
    socket_half_a_frame_and_hang_up,
    socket_nonsense_that_is_json,
    socket_hundred_silent_clients,
    socket_a_client_that_does_not_read,
];

fn socket_random_bytes() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    unharmed(&bed, || {
        // A generator of its own (xorshift), so that a failure can be repeated.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for length in [1, 7, 100, 4096, 70_000] {
            let mut bytes = Vec::with_capacity(length + 8);
            while bytes.len() < length {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                bytes.extend(state.to_le_bytes());
            }
            says(&bed, &bytes)?;
            // And with an end, so that it is taken for a message.
            bytes.push(0);
            says(&bed, &bytes)?;
        }
        says(&bed, &[0; 10_000])
    })
}

fn socket_huge_frame() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    unharmed(&bed, || {
        says(&bed, &vec![b'x'; 64 << 20])?;
        let nested = format!("{{\"method\":{}", "[".repeat(500_000));
        says(&bed, nested.as_bytes())?;
        says(&bed, format!("{nested}\0").as_bytes())
    })
}

fn socket_half_a_frame_and_hang_up() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    let call = br#"{"method":"org.ipmp.Execute","parameters":{"command":{"unplumb":{"logical":"ge0","family":"inet"}}}}"#;
    unharmed(&bed, || {
        (0..call.len())
            .step_by(7)
            .try_for_each(|half| says(&bed, call.get(..half).unwrap_or_default()))
    })
}

fn socket_nonsense_that_is_json() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    unharmed(&bed, || {
        for call in [
            "{}",
            "[]",
            "null",
            r#"{"method":"org.ipmp.Nonsense"}"#,
            r#"{"method":"org.ipmp.Execute"}"#,
            r#"{"method":"org.ipmp.Execute","parameters":{"command":"nonsense"}}"#,
            r#"{"method":"org.ipmp.Execute","parameters":{"command":{"set-mtu":{"interface":"ge0","mtu":-1}}}}"#,
            r#"{"method":"org.ipmp.Execute","parameters":{"command":{"set-group":{"interface":"ge0","group":"a b"}}}}"#,
            r#"{"method":"org.ipmp.Execute","parameters":{"command":{"set-flag":{"logical":"ge0","family":"inet","flag":268435456,"on":true}}}}"#,
            r#"{"method":"org.ipmp.Execute","parameters":{"command":{"set-address":{"logical":"ge0","address":{"ip":"192.168.0.99","prefix":77}}}}}"#,
            r#"{"method":"org.ipmp.Execute","parameters":{"command":{"set-prefix":{"logical":"ge0","family":"inet","prefix":200}}}}"#,
            r#"{"method":"org.ipmp.Ping","upgrade":true}"#,
        ] {
            says(&bed, format!("{call}\0").as_bytes())?;
        }
        Ok(())
    })
}

fn socket_hundred_silent_clients() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    unharmed(&bed, || {
        let silent = (0..100)
            .map(|_| connect(&bed))
            .collect::<Result<Vec<_>, _>>()?;
        bed.snapshot()?;
        bed.types("ifconfig -a")?;
        bed.types("ifconfig ge0 addif 192.168.0.95 up")?;
        bed.types("ifconfig ge0 removeif 192.168.0.95")?;
        // Some went since there were too many; none of those that asks is among them.
        drop(silent);
        Ok(())
    })
}

fn socket_a_client_that_does_not_read() -> Result<(), Failed> {
    let bed = Bed::lab1(SLOW)?;
    unharmed(&bed, || {
        let mut greedy = connect(&bed)?;
        greedy.set_write_timeout(Some(Duration::from_secs(1)))?;
        let call = b"{\"method\":\"org.ipmp.Snapshot\"}\0".repeat(10_000);
        // Its socket fills up, or the daemon has had enough of it.
        let _cut_short = greedy.write_all(&call);
        bed.types("ifconfig -a").map(drop)
    })
}

/// A connection to the daemon's control socket.
fn connect(bed: &Bed) -> Result<UnixStream, Failed> {
    bed.host1.enter(|| -> Result<UnixStream, Failed> {
        Ok(UnixStream::connect(run_directory()?.socket())?)
    })?
}

/// Sends bytes to the daemon and hangs up, after listening a moment to what it says.
fn says(bed: &Bed, bytes: &[u8]) -> Result<(), Failed> {
    let mut stream = connect(bed)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // The daemon may hang up before it has heard all.
    let _cut_short = stream.write_all(bytes);
    let _closed = stream.shutdown(std::net::Shutdown::Write);
    stream.set_read_timeout(Some(PATIENCE))?;
    // Whatever it says, it comes to an end.
    match stream.read_to_end(&mut Vec::new()) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            Err(format!("the daemon keeps a client that said {} bytes", bytes.len()).into())
        }
        _ => Ok(()),
    }
}
