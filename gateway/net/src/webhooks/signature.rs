//! The signature of a webhook's request.
//!
//! Source: Azure SignalR Service, "Upstream endpoints".

use std::fmt::Write;

use aws_lc_rs::hmac;
use hubgate_wire::token::AccessKey;

/// Proves that the request comes from who has the keys: one signature of the connection id for each.
pub(super) fn signature(keys: &[AccessKey], connection_id: &str) -> String {
    let mut text = String::new();
    for (index, key) in keys.iter().enumerate() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose().as_bytes());
        text.push_str(if index == 0 { "sha256=" } else { ",sha256=" });
        for byte in hmac::sign(&key, connection_id.as_bytes()).as_ref() {
            write!(text, "{byte:02X}").expect("a String takes what is written");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_signs_the_connection_id() {
        let keys = ["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB="];
        let expected = "sha256=DEF83B0DFCE04DE09DEEE0C1A3B3E5ABDCD58D24919890A2BD2A367C1FEAB7C1,\
                        sha256=7914A16CED2FA3251A8468753F107F65F7525636209455F16E9D9263FCD9A1ED";
        assert_eq!(signature(&keys.map(AccessKey::new), "0KvNQ3l9pJ8p3lJrUqkYwA"), expected);
    }
}
