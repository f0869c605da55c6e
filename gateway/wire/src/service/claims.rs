//! The long names of claims, which hub servers know them by.
//!
//! Source: the default inbound claim map of System.IdentityModel.Tokens.Jwt. Tokens have the short names.

use std::borrow::Cow;

/// The name of a claim as a hub server wants it: a short name that stands for a long one becomes that, others stay.
pub fn long_name(name: &str) -> Cow<'_, str> {
    let mut found = NAMES.iter().flat_map(|(base, names)| names.iter().map(move |(short, word)| (*short, base, word)));
    match found.find(|(short, ..)| *short == name) {
        Some((_, base, word)) => Cow::Owned(format!("{base}{word}")),
        None => Cow::Borrowed(name),
    }
}

/// The name of a claim as tokens have it: a long name that a short one stands for becomes that, others stay.
pub fn short_name(name: &str) -> &str {
    let names = NAMES.iter().filter_map(|(base, names)| Some((name.strip_prefix(base)?, names)));
    let mut found = names.flat_map(|(word, names)| names.iter().filter(move |(_, long)| *long == word));
    found.next().map_or(name, |(short, _)| short)
}

/// The names by the beginnings of the long ones: each short name with the last word of its long one. Of two short names for one long name
/// the first is what the Azure SignalR SDK for .NET writes.
const NAMES: &[(&str, &[(&str, &str)])] = &[
    (
        "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/",
        &[
            ("nameid", "nameidentifier"),
            ("sub", "nameidentifier"),
            ("unique_name", "name"),
            ("email", "emailaddress"),
            ("given_name", "givenname"),
            ("family_name", "surname"),
            ("birthdate", "dateofbirth"),
            ("website", "webpage"),
            ("ppid", "privatepersonalidentifier"),
            ("certpublickey", "rsa"),
            ("certthumbprint", "thumbprint"),
            ("gender", "gender"),
            ("upn", "upn"),
            ("denyonlysid", "denyonlysid"),
        ],
    ),
    (
        "http://schemas.microsoft.com/ws/2008/06/identity/claims/",
        &[
            ("role", "role"),
            ("roles", "role"),
            ("authmethod", "authenticationmethod"),
            ("winaccountname", "windowsaccountname"),
            ("certserialnumber", "serialnumber"),
            ("groupsid", "groupsid"),
            ("primarygroupsid", "primarygroupsid"),
            ("primarysid", "primarysid"),
            ("denyonlyprimarygroupsid", "denyonlyprimarygroupsid"),
            ("denyonlyprimarysid", "denyonlyprimarysid"),
        ],
    ),
    ("http://schemas.xmlsoap.org/ws/2009/09/identity/claims/", &[("actort", "actor")]),
    (
        "http://schemas.microsoft.com/identity/claims/",
        &[("oid", "objectidentifier"), ("scp", "scope"), ("tid", "tenantid"), ("idp", "identityprovider")],
    ),
    ("http://schemas.microsoft.com/claims/", &[("acr", "authnclassreference"), ("amr", "authnmethodsreferences")]),
    (
        "http://schemas.xmlsoap.org/claims/",
        &[("adfs1email", "EmailAddress"), ("adfs1upn", "UPN"), ("commonname", "CommonName"), ("group", "Group")],
    ),
    (
        "http://schemas.microsoft.com/ws/2012/01/",
        &[
            ("pwdchgurl", "passwordchangeurl"),
            ("pwdexpdays", "passwordexpirationdays"),
            ("pwdexptime", "passwordexpirationtime"),
            ("insidecorporatenetwork", "insidecorporatenetwork"),
        ],
    ),
    (
        "http://schemas.microsoft.com/2012/01/requestcontext/claims/",
        &[
            ("clientapplication", "x-ms-client-application"),
            ("clientip", "x-ms-client-ip"),
            ("clientuseragent", "x-ms-client-user-agent"),
            ("endpointpath", "x-ms-endpoint-absolute-path"),
            ("forwardedclientip", "x-ms-forwarded-client-ip"),
            ("fwt", "x-ms-forwarded-client-ip"),
            ("proxy", "x-ms-proxy"),
            ("relyingpartytrustid", "relyingpartytrustid"),
        ],
    ),
    (
        "http://schemas.microsoft.com/2012/01/devicecontext/claims/",
        &[
            ("devicedispname", "displayname"),
            ("deviceid", "identifier"),
            ("deviceismanaged", "ismanaged"),
            ("deviceostype", "ostype"),
            ("deviceosver", "osversion"),
            ("deviceowner", "userowner"),
            ("deviceregid", "registrationid"),
            ("isregistereduser", "isregistereduser"),
        ],
    ),
    (
        "http://schemas.microsoft.com/2012/12/certificatecontext/extension/",
        &[
            ("certapppolicy", "applicationpolicy"),
            ("certauthoritykeyidentifier", "authoritykeyidentifier"),
            ("certbasicconstraints", "basicconstraints"),
            ("certeku", "eku"),
            ("certkeyusage", "keyusage"),
            ("certpolicy", "certificatepolicy"),
            ("certsubjectaltname", "san"),
            ("certsubjectkeyidentifier", "subjectkeyidentifier"),
            ("certtemplateinformation", "certificatetemplateinformation"),
            ("certtemplatename", "certificatetemplatename"),
        ],
    ),
    (
        "http://schemas.microsoft.com/2012/12/certificatecontext/field/",
        &[
            ("certissuer", "issuer"),
            ("certissuername", "issuername"),
            ("certnotafter", "notafter"),
            ("certnotbefore", "notbefore"),
            ("certrawdata", "rawdata"),
            ("certsignaturealgorithm", "signaturealgorithm"),
            ("certsubject", "subject"),
            ("certsubjectname", "subjectname"),
            ("certx509version", "x509version"),
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_expanded_and_others_stay() {
        for (name, long) in [
            ("nameid", "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier"),
            ("sub", "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier"),
            ("gender", "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/gender"),
            ("role", "http://schemas.microsoft.com/ws/2008/06/identity/claims/role"),
            ("tid", "http://schemas.microsoft.com/identity/claims/tenantid"),
            ("asrs.s.uid", "asrs.s.uid"),
            ("Role", "Role"),
            ("exp", "exp"),
        ] {
            assert_eq!(long_name(name), long);
        }
    }

    #[test]
    fn long_names_become_what_stands_for_them_in_tokens() {
        let identity = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/";
        assert_eq!(short_name(&format!("{identity}nameidentifier")), "nameid");
        assert_eq!(short_name("http://schemas.microsoft.com/ws/2008/06/identity/claims/role"), "role");
        for name in ["nameid", "exp", "Role", &format!("{identity}nothing"), identity] {
            assert_eq!(short_name(name), name);
        }
        for (short, _) in NAMES.iter().flat_map(|(_, names)| *names) {
            let long = long_name(short);
            assert_eq!(long_name(short_name(&long)), long, "{short}");
        }
    }
}
