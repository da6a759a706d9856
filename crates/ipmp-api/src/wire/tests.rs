use serde_json::json;

use super::*;

fn call(bytes: &[u8]) -> Result<Option<Call>, FrameError> {
    let mut decoder = Decoder::new(MAX_REQUEST);
    decoder.feed(bytes);
    decoder.message()
}

#[test]
fn messages_come_out_however_the_bytes_come_in() {
    let first = Call::new("org.ipmp.Ping", &()).unwrap();
    let second = Call::new("org.ipmp.Execute", &json!({"command": 1})).unwrap();
    let mut bytes = encode(&first, MAX_REQUEST).unwrap();
    bytes.extend(encode(&second, MAX_REQUEST).unwrap());
    for chunk in 1..bytes.len() {
        let mut decoder = Decoder::new(MAX_REQUEST);
        let mut out = Vec::new();
        for part in bytes.chunks(chunk) {
            decoder.feed(part);
            while let Some(call) = decoder.message::<Call>().unwrap() {
                out.push(call);
            }
        }
        assert_eq!(out, [first.clone(), second.clone()], "chunks of {chunk}");
    }
}

#[test]
fn a_message_may_be_as_long_as_the_limit_and_no_longer() {
    let frame = |length: usize| {
        let mut bytes = vec![b'1'];
        bytes.resize(length, b' ');
        bytes
    };
    let mut decoder = Decoder::new(100);
    decoder.feed(&frame(100));
    assert!(decoder.message::<Value>().unwrap().is_none());
    decoder.feed(&[0]);
    assert_eq!(decoder.message::<Value>().unwrap(), Some(json!(1)));

    let mut decoder = Decoder::new(100);
    decoder.feed(&frame(101));
    assert!(matches!(
        decoder.message::<Value>(),
        Err(FrameError::TooLong(100))
    ));
    assert!(matches!(
        encode(&"x".repeat(99), 100),
        Err(FrameError::TooLong(100))
    ));
    assert_eq!(encode(&"x".repeat(98), 100).unwrap().len(), 101);
}

#[test]
fn malformed_messages_are_errors() {
    for bytes in [
        &b"\0"[..],
        b"{\0",
        b"[]\0",
        b"null\0",
        b"{}\0",
        b"{\"method\": 1}\0",
        b"{\"method\": \"a.B\", \"parameters\": 1}\0",
        b"{\"method\": \"a.B\", \"parameters\": []}\0",
        b"\xff\xfe\0",
    ] {
        assert!(matches!(call(bytes), Err(FrameError::Json(_))), "{bytes:?}");
    }
    // Depth is bounded too: the parser gives up, the stack does not overflow.
    let mut deep = b"{\"method\": \"a.B\", \"parameters\": {\"x\": ".to_vec();
    deep.extend(vec![b'['; 100_000]);
    deep.push(0);
    assert!(call(&deep).is_err());
}

#[test]
fn what_varlink_leaves_open_is_accepted() {
    let bare = call(b"{\"method\":\"org.ipmp.Ping\"}\0").unwrap().unwrap();
    let null = call(b"{\"method\":\"org.ipmp.Ping\",\"parameters\":null,\"more\":false}\0");
    assert_eq!(null.unwrap().unwrap(), bare);
}
