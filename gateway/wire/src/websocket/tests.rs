use super::*;

/// A client's frame: `first` is the first byte, the payload is masked.
fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![first];
    match payload.len() {
        0..126 => frame.push(MASKED | payload.len() as u8),
        126..65_536 => {
            frame.push(MASKED | 126);
            frame.extend_from_slice(&(payload.len() as u16).to_be_bytes());
        }
        length => {
            frame.push(MASKED | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// What was read: whole messages, and control frames as they came.
#[derive(Debug, PartialEq)]
enum Read {
    Message(DataKind, Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
}

fn read(input: &[u8], step: usize) -> Result<Vec<Read>, WebSocketError> {
    let mut decoder = Decoder::new(100_000);
    let (mut all, mut message) = (Vec::new(), Vec::new());
    for chunk in input.chunks(step) {
        let mut chunk = chunk.to_vec();
        let mut rest = &mut chunk[..];
        while let Some(event) = decoder.decode(&mut rest)? {
            match event {
                Event::Data { kind, bytes, end_of_message } => {
                    message.extend_from_slice(bytes);
                    if end_of_message {
                        all.push(Read::Message(kind, std::mem::take(&mut message)));
                    }
                }
                Event::Ping(payload) => all.push(Read::Ping(payload.as_bytes().to_vec())),
                Event::Pong => all.push(Read::Pong),
                Event::Close(code) => all.push(Read::Close(code)),
            }
        }
    }
    Ok(all)
}

/// The same events come out however the bytes are cut.
fn check(input: &[u8], expected: Result<Vec<Read>, WebSocketError>) {
    for step in [1, 2, 3, 7, 64, input.len().max(1)] {
        assert_eq!(read(input, step), expected, "in steps of {step}");
    }
}

#[test]
fn the_example_of_the_rfc_is_read() {
    let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    check(&hello, Ok(vec![Read::Message(DataKind::Text, b"Hello".to_vec())]));
}

#[test]
fn fragments_make_one_message_and_control_frames_come_between() {
    let mut input = client_frame(0x01, "Zoë".as_bytes().split_at(3).0);
    input.extend(client_frame(0x89, b"are you there"));
    input.extend(client_frame(0x00, "Zoë".as_bytes().split_at(3).1));
    input.extend(client_frame(0x80, b""));
    input.extend(client_frame(0x8A, b""));
    input.extend(client_frame(0x82, &[0xFF; 300]));
    input.extend(client_frame(0x82, &[7; 70_000]));
    input.extend(client_frame(0x88, &[0x03, 0xE8]));
    check(
        &input,
        Ok(vec![
            Read::Ping(b"are you there".to_vec()),
            Read::Message(DataKind::Text, "Zoë".into()),
            Read::Pong,
            Read::Message(DataKind::Binary, vec![0xFF; 300]),
            Read::Message(DataKind::Binary, vec![7; 70_000]),
            Read::Close(Some(1000)),
        ]),
    );
}

#[test]
fn what_the_rfc_forbids_is_refused() {
    check(&client_frame(0xC1, b"x"), Err(WebSocketError::ReservedBits));
    check(&client_frame(0x83, b"x"), Err(WebSocketError::ReservedOpcode(3)));
    check(&client_frame(0x8B, b"x"), Err(WebSocketError::ReservedOpcode(11)));
    check(&[0x81, 0x01, b'x'], Err(WebSocketError::NotMasked));
    check(&client_frame(0x09, b""), Err(WebSocketError::BadControlFrame));
    check(&client_frame(0x89, &[0; 126]), Err(WebSocketError::BadControlFrame));
    check(&client_frame(0x80, b"x"), Err(WebSocketError::BadFragmentation));
    check(&[client_frame(0x01, b"a"), client_frame(0x81, b"b")].concat(), Err(WebSocketError::BadFragmentation));
    check(&[0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4], Err(WebSocketError::BadLength));
    check(&[0x82, 0xFF, 0, 0, 0, 0, 0, 1, 0x86, 0xA1, 1, 2, 3, 4], Err(WebSocketError::TooLong));
    check(&client_frame(0x81, &[0xC3, 0x28]), Err(WebSocketError::NotUtf8));
    check(&client_frame(0x81, &[0xE2, 0x82]), Err(WebSocketError::NotUtf8));
    check(&client_frame(0x88, &[0x03]), Err(WebSocketError::BadClose));
    check(&client_frame(0x88, &1005u16.to_be_bytes()), Err(WebSocketError::BadClose));
    check(&client_frame(0x88, &[0x03, 0xE8, 0xFF]), Err(WebSocketError::BadClose));
}

#[test]
fn a_frame_carries_the_shortest_header_of_its_length() {
    let header = |length: usize| {
        let frame = Frame::data(DataKind::Binary, |out| out.resize(out.len() + length, 1));
        frame.as_bytes()[..frame.len() - length].to_vec()
    };
    assert_eq!(header(0), [0x82, 0]);
    assert_eq!(header(125), [0x82, 125]);
    assert_eq!(header(126), [0x82, 126, 0, 126]);
    assert_eq!(header(65_535), [0x82, 126, 0xFF, 0xFF]);
    assert_eq!(header(65_536), [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    assert_eq!(Frame::data(DataKind::Text, |out| out.extend_from_slice(b"Hello")).as_bytes(), b"\x81\x05Hello");
    assert_eq!(Frame::close(close_code::NORMAL).as_bytes(), [0x88, 2, 0x03, 0xE8]);
}

#[test]
fn a_frames_cost_covers_the_buffer_that_it_holds() {
    for length in [0, 1, 125, 193, 1_000, 10_000, 100_001, 1_000_000] {
        // Written in small pieces, as encoders do, so that the buffer grows by doubling.
        let frame = Frame::data(DataKind::Text, |out| (0..length).for_each(|_| out.push(b'a')));
        let cost = frame.cost();
        let held = frame.into_bytes().try_into_mut().expect("nobody shares it").capacity() + LONGEST_HEADER;
        assert!(held <= cost, "{length} bytes hold {held}, but cost {cost}");
    }
}

#[test]
fn random_bytes_end_in_an_error_or_in_silence_but_never_in_a_panic() {
    // A linear congruential generator: the same bytes at every run.
    let mut seed = 7u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 56) as u8
    };
    for _ in 0..2_000 {
        let mut input: Vec<u8> = (0..64).map(|_| next()).collect();
        // Likely headers, so that more than the first check is reached.
        input[0] = [0x81, 0x82, 0x01, 0x89, 0x88][usize::from(input[0]) % 5];
        input[1] |= MASKED;
        drop(read(&input, 1 + usize::from(next()) % 64));
    }
}
