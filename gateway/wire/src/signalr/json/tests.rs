use super::*;

fn rewrite(message: &str) -> Result<String, String> {
    let message = parse(message.as_bytes()).map_err(|error| error.to_string())?;
    let mut out = Vec::new();
    write(&message, &mut out);
    assert_eq!(out.pop(), Some(RECORD_SEPARATOR));
    Ok(String::from_utf8(out).expect("JSON is UTF-8"))
}

#[test]
fn messages_are_written_as_they_were_read() {
    for message in [
        r#"{"type":1,"target":"Target","arguments":[1,"Foo",2.0,12345678901234567890]}"#,
        r#"{"type":1,"headers":{"Foo":"Bar","a\nb":"c"},"invocationId":"123","target":"T","arguments":[]}"#,
        r#"{"type":1,"target":"Target","arguments":[42],"streamIds":["a","b"]}"#,
        r#"{"type":2,"invocationId":"123","item":null}"#,
        r#"{"type":3,"invocationId":"123"}"#,
        r#"{"type":3,"invocationId":"123","result":null}"#,
        r#"{"type":3,"invocationId":"123","error":"Whoops!"}"#,
        r#"{"type":4,"invocationId":"123","target":"Target","arguments":[true]}"#,
        r#"{"type":5,"invocationId":"123"}"#,
        r#"{"type":6}"#,
        r#"{"type":7}"#,
        r#"{"type":7,"error":"","allowReconnect":true}"#,
        r#"{"type":8,"sequenceId":1394}"#,
        r#"{"type":9,"sequenceId":1234}"#,
    ] {
        assert_eq!(rewrite(message).as_deref(), Ok(message));
    }
}

#[test]
fn properties_come_in_any_order_and_unknown_ones_are_ignored() {
    assert_eq!(
        rewrite(r#"{ "arguments": [1,2], "extra":{"type":9}, "type":1, "target": "Method" }"#).as_deref(),
        Ok(r#"{"type":1,"target":"Method","arguments":[1,2]}"#)
    );
    assert_eq!(rewrite(r#"{"type":99,"target":1}"#).as_deref(), Ok(r#"{"type":99}"#));
}

#[test]
fn escaped_names_and_texts_are_understood() {
    assert_eq!(
        rewrite(r#"{"\u0074ype":1,"target":"\u0041\"","arguments":[]}"#).as_deref(),
        Ok(r#"{"type":1,"target":"A\"","arguments":[]}"#)
    );
}

#[test]
fn a_message_nests_64_levels_and_no_more_whatever_part_of_it_does() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let call = |arguments: String| format!(r#"{{"type":1,"target":"T","arguments":{arguments}}}"#);
    assert_eq!(rewrite(&call(nested(63))).as_ref(), Ok(&call(nested(63))));
    let too_deep = Err("Error reading JSON: it nests deeper than 64 levels.".to_owned());
    for deep in [64, 65, 100_000] {
        assert_eq!(rewrite(&call(nested(deep))), too_deep, "{deep}");
        assert_eq!(rewrite(&format!(r#"{{"type":6,"unknown":{}}}"#, nested(deep))), too_deep, "{deep}");
        assert_eq!(rewrite(&"{\"type\":".repeat(deep + 1)), too_deep, "{deep}");
        assert_eq!(rewrite(&nested(deep + 1)), too_deep, "{deep}");
    }
}

#[test]
fn a_property_that_readers_take_differently_when_it_is_repeated_makes_a_message_malformed() {
    for property in PROPERTIES {
        let value = if property == "headers" { "{}" } else { "1" };
        let (first, escaped) = (&property[..1], format!("\\u{:04x}", property.as_bytes()[0]));
        for repeated in [property.to_owned(), property.replacen(first, &escaped, 1)] {
            let message = format!(r#"{{"{property}":{value},"other":0,"{repeated}":{value},"type":6}}"#);
            assert_eq!(rewrite(&message).unwrap_err(), format!("The property '{property}' is repeated."), "{message}");
        }
    }
    for ignored in ["Type", "TYPE", "item ", "unknown"] {
        assert_eq!(rewrite(&format!(r#"{{"{ignored}":1,"type":6,"{ignored}":2}}"#)).as_deref(), Ok(r#"{"type":6}"#));
    }
}

#[test]
fn the_last_of_equal_headers_counts() {
    assert_eq!(
        rewrite(r#"{"type":5,"invocationId":"1","headers":{"a":"1","b":"2","\u0061":"3"}}"#).as_deref(),
        Ok(r#"{"type":5,"headers":{"a":"3","b":"2"},"invocationId":"1"}"#)
    );
}

#[test]
fn lists_that_are_kept_are_limited() {
    let headers = |count: usize| {
        let headers: Vec<String> = (0..count).map(|index| format!(r#""{index}":"""#)).collect();
        format!(r#"{{"type":5,"headers":{{{}}},"invocationId":"1"}}"#, headers.join(","))
    };
    assert_eq!(rewrite(&headers(MOST_HEADERS)).as_ref(), Ok(&headers(MOST_HEADERS)));
    assert_eq!(rewrite(&headers(MOST_HEADERS + 1)).unwrap_err(), "The message has more than 100 headers.");
    let call = |streams: usize| {
        let ids = vec![r#""1""#; streams].join(",");
        format!(r#"{{"type":1,"target":"T","arguments":[],"streamIds":[{ids}]}}"#)
    };
    assert_eq!(rewrite(&call(MOST_STREAMS)).as_ref(), Ok(&call(MOST_STREAMS)));
    for streams in [MOST_STREAMS + 1, 100_000] {
        assert_eq!(rewrite(&call(streams)).unwrap_err(), "The call uploads more than 100 streams.");
    }
}

#[test]
fn numbers_pass_as_they_are_and_those_of_the_protocol_must_fit() {
    let huge = "1".repeat(100_000);
    for number in [huge.as_str(), "1e999999999", "-0", "0.1e-400"] {
        let call = format!(r#"{{"type":1,"target":"T","arguments":[{number}]}}"#);
        assert_eq!(rewrite(&call).as_ref(), Ok(&call));
    }
    for number in [huge.as_str(), "9223372036854775808", "1.0", "1e3"] {
        let sequence = rewrite(&format!(r#"{{"type":9,"sequenceId":{number}}}"#));
        assert_eq!(sequence.unwrap_err(), "Expected 'sequenceId' to be of type Number.");
    }
    let too_large = format!(r#"{{"type":{huge}}}"#);
    assert_eq!(rewrite(&too_large).unwrap_err(), "Expected 'type' to be of type Number.");
}

#[test]
fn malformed_messages_are_named_as_dotnet_names_them() {
    for (message, error) in [
        ("", "Error reading JSON."),
        ("null", "Unexpected JSON Token Type 'Null'. Expected a JSON Object."),
        ("[42]", "Unexpected JSON Token Type 'Array'. Expected a JSON Object."),
        ("{}", "Missing required property 'type'."),
        (r#"{"type":"foo"}"#, "Expected 'type' to be of type Number."),
        (r#"{"type":3,"invocationId":"42","result":true"#, "Error reading JSON."),
        (r#"{"type":1,"target":"foo","arguments":[[}]}"#, "Error reading JSON."),
        (r#"{"type":6}{"type":6}"#, "Error reading JSON."),
        (
            r#"{"type":1,"headers":{"Foo": 42},"target":"t",arguments:[]}"#,
            "Expected header 'Foo' to be of type String.",
        ),
        (r#"{"type":1}"#, "Missing required property 'target'."),
        (r#"{"type":1,"invocationId":42}"#, "Expected 'invocationId' to be of type String."),
        (r#"{"type":1,"target":"foo","arguments":{}}"#, "Expected 'arguments' to be of type Array."),
        (r#"{"type":2,"invocationId":"42"}"#, "Missing required property 'item'."),
        (r#"{"type":3,"invocationId":"42","error":[]}"#, "Expected 'error' to be of type String."),
        (
            r#"{"type":3,"invocationId":"42","error":"foo","result":true}"#,
            "The 'error' and 'result' properties are mutually exclusive.",
        ),
        (r#"{"type":4}"#, "Missing required property 'invocationId'."),
        (r#"{"type":8,"sequenceId":true}"#, "Expected 'sequenceId' to be of type Number."),
    ] {
        assert_eq!(rewrite(message), Err(error.to_owned()), "{message}");
    }
}
