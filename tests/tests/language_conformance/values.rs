//! Arguments and results.

use serde_json::{Value, json};

use crate::rig::{Halves, Integers, Refusals, Rig};

const MEBIBYTE: usize = 1 << 20;

/// One character of each plane of Unicode that has any, and those that encodings trip over.
fn every_plane() -> String {
    let planes = (0..=16).filter_map(|plane| char::from_u32(plane * 0x1_0000 + 0xE000 + 0x41));
    let controls = (0..0x20).filter_map(char::from_u32);
    let odd = "\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{fffd}\u{ffff}\u{10000}\u{10ffff}\u{2028}\u{2029}\u{feff}";
    planes.chain(controls).chain(odd.chars()).chain("e\u{301} 👩\u{200d}🚀 \"\\/ <&>".chars()).collect()
}

pub(crate) async fn come_back_as_they_were(rig: &Rig) {
    let mut client = rig.client().await;
    let deep = (0..30).fold(json!("inside"), |inner, _| json!([inner]));
    let values = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(""),
        json!([]),
        json!({}),
        json!("plain"),
        json!(every_plane()),
        json!({ "ключ": [1, "two", null, { "": false }], "__proto__": 1 }),
        deep,
        json!("x".repeat(MEBIBYTE)),
        json!("漢".repeat(MEBIBYTE / 3)),
    ];
    for value in values {
        let answer = client.call("echo", json!([value])).await;
        assert!(answer.as_ref() == Ok(&value), "{}: {}", rig.language.name, shortened(&answer, &value));
    }
    let escaped = r#"{"type":1,"invocationId":"escaped","target":"echo","arguments":["\u00e4\ud83d\ude00\/\n"]}"#;
    client.send_text(&format!("{escaped}\u{1e}")).await;
    assert_eq!(client.completion("escaped").await["result"], "ä😀/\n");
    for (text, characters) in
        [("", 0), ("abc", 3), ("äöü", 3), ("a😀b", 3), (&every_plane(), every_plane().chars().count())]
    {
        assert_eq!(client.call("length", json!([text])).await, Ok(json!(characters)), "{text:?}");
    }
    assert_eq!(client.call("length", json!(["ä".repeat(MEBIBYTE)])).await, Ok(json!(MEBIBYTE)));
}

fn shortened(answer: &Result<Value, String>, value: &Value) -> String {
    let text = format!("{value} came back as {answer:?}");
    text.chars().take(500).collect()
}

pub(crate) async fn of_wrong_types_are_refused(rig: &Rig) {
    let mut client = rig.client().await;
    let wrong = [
        ("length", json!([]), "length takes 1, got 0."),
        ("length", json!([5]), "argument 1 must be a string, not an integer."),
        ("length", json!([null]), "argument 1 must be a string, not null."),
        ("length", json!([[]]), "argument 1 must be a string, not a list."),
        ("length", json!([{}]), "argument 1 must be a string, not an object."),
        ("length", json!([true]), "argument 1 must be a string, not true or false."),
        ("length", json!(["one", "more"]), "length takes 1, got 2."),
        ("add", json!(["1", 2]), "argument 1 must be an integer, not a string."),
        ("add", json!([1, 1.5]), "argument 2 must be an integer, not a number."),
        ("add", json!([1]), "add takes 2, got 1."),
    ];
    for (method, arguments, words) in wrong {
        let error = client.call(method, arguments.clone()).await.expect_err("it is refused");
        let told = error.strip_prefix("Wrong arguments: ");
        let is_right = match rig.language.refusals {
            Refusals::OfAllLanguages => told == Some(words),
            Refusals::OfItsOwn => told.is_some(),
        };
        assert!(is_right, "{method}{arguments}: {error}");
    }
    assert_eq!(client.call("add", json!([1, 2])).await, Ok(json!(3)), "an error harms nothing");
    let error = client.call("nothing", json!([])).await.expect_err("there is no such method");
    assert!(error.contains("nothing"), "{error}");
}

/// Half of a surrogate pair harms no instance, wherever it goes.
pub(crate) async fn that_are_not_unicode_end_nothing(rig: &Rig) {
    let mut client = rig.client().await;
    let calls = [
        ("note", r#""\ud800""#, Ok(json!(null))),
        ("join", r#""\ud800""#, Ok(json!(null))),
        ("exists", r#""\ud800""#, Ok(json!(true))),
        ("sayTo", r#""\ud800","heard""#, Ok(json!(null))),
        ("fail", r#""\ud800""#, Err("\u{fffd}")),
        ("set", r#""\ud800","\udc00",null"#, Ok(json!(null))),
        ("get", r#""\ud800""#, Ok(json!("\u{fffd}"))),
        ("keys", r#""\ud800""#, Ok(json!(["\u{fffd}"]))),
        ("delete", r#""\ud800""#, Ok(json!(null))),
    ];
    for (method, arguments, expected) in calls {
        let call = format!(r#"{{"type":1,"invocationId":"half","target":"{method}","arguments":[{arguments}]}}"#);
        client.send_text(&format!("{call}\u{1e}")).await;
        let answer = client.completion("half").await;
        let error = answer["error"].as_str();
        match (rig.language.halves, expected) {
            (Halves::Refused, _) => {
                assert!(error.is_some_and(|text| text.starts_with("Wrong arguments: ")), "{method}: {answer}");
            }
            (Halves::Replaced, Err(text)) => assert_eq!(error, Some(text), "{method}: {answer}"),
            (Halves::Replaced, Ok(value)) => {
                assert!(error.is_none() && answer["result"] == value, "{method}: {answer}");
            }
        }
    }
    client.call("echo", json!(["fine"])).await.expect("it answers");
}

/// The sums that a language with 64 bits gets right.
pub(crate) fn sums() -> [(i64, i64, i64); 4] {
    [
        (9_007_199_254_740_992, 1, 9_007_199_254_740_993),
        (i64::MAX, -1, i64::MAX - 1),
        (i64::MIN, 1, i64::MIN + 1),
        (i64::MAX, i64::MIN, -1),
    ]
}

pub(crate) async fn of_integers_are_exact_as_far_as_the_language_goes(rig: &Rig) {
    let mut client = rig.client().await;
    let safe = (1_i64 << 53) - 1;
    for integer in [safe, -safe, 1 << 40] {
        assert_eq!(client.call("echo", json!([integer])).await, Ok(json!(integer)));
        assert_eq!(client.call("add", json!([integer, 0])).await, Ok(json!(integer)));
    }
    for (a, b, sum) in sums() {
        let answer = client.call("add", json!([a, b])).await;
        match rig.language.integers {
            Integers::Of64Bits => assert_eq!(answer, Ok(json!(sum)), "{a} + {b}"),
            // Nothing wrong is said as if it were right.
            Integers::Of53Bits => assert!(answer.is_err() || answer == Ok(json!(sum)), "{a} + {b}: {answer:?}"),
        }
    }
    for integer in [json!(i64::MAX), json!(i64::MIN), json!(u64::MAX)] {
        assert_eq!(client.call("echo", json!([integer])).await, Ok(integer), "no calculation, no change");
    }
}
