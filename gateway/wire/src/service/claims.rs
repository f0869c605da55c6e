//! The long names of claims, which hub servers know them by.
//!
//! Source: the default inbound claim map of System.IdentityModel.Tokens.Jwt. Tokens have the short names.

use std::borrow::Cow;

/// The name of a claim as a hub server wants it: a short name that stands for a long one becomes that, others stay.
pub fn long_name(name: &str) -> Cow<'_, str> {
    match long(name) {
        Some((base, word)) => Cow::Owned(format!("{base}{}", if word.is_empty() { name } else { word })),
        None => Cow::Borrowed(name),
    }
}

/// The beginning of the long name, and its last word unless that is the short name.
fn long(name: &str) -> Option<(&'static str, &'static str)> {
    Some(match name {
        "nameid" | "sub" => ("http://schemas.xmlsoap.org/ws/2005/05/identity/claims/", "nameidentifier"),
        "unique_name" => ("http://schemas.xmlsoap.org/ws/2005/05/identity/claims/", "name"),
        "email" => ("http://schemas.xmlsoap.org/ws/2005/05/identity/claims/", "emailaddress"),
        "given_name" => ("http://schemas.xmlsoap.org/ws/2005/05/identity/claims/", "givenname"),
        "family_name" => ("http://schemas.xmlsoap.org/ws/2005/05/identity/claims/", "surname"),
        "birthdate" => ("http://schemas.xmlsoap.org/ws/2005/05/identity/claims/", "dateofbirth"),
        "website" => ("http://schemas.xmlsoap.org/ws/2005/05/identity/claims/", "webpage"),
        "ppid" => ("http://schemas.xmlsoap.org/ws/2005/05/identity/claims/", "privatepersonalidentifier"),
        "certpublickey" => ("http://schemas.xmlsoap.org/ws/2005/05/identity/claims/", "rsa"),
        "certthumbprint" => ("http://schemas.xmlsoap.org/ws/2005/05/identity/claims/", "thumbprint"),
        "gender" | "upn" | "denyonlysid" => ("http://schemas.xmlsoap.org/ws/2005/05/identity/claims/", ""),
        "roles" => ("http://schemas.microsoft.com/ws/2008/06/identity/claims/", "role"),
        "authmethod" => ("http://schemas.microsoft.com/ws/2008/06/identity/claims/", "authenticationmethod"),
        "winaccountname" => ("http://schemas.microsoft.com/ws/2008/06/identity/claims/", "windowsaccountname"),
        "certserialnumber" => ("http://schemas.microsoft.com/ws/2008/06/identity/claims/", "serialnumber"),
        "role" | "groupsid" | "primarygroupsid" | "primarysid" | "denyonlyprimarygroupsid" | "denyonlyprimarysid" => {
            ("http://schemas.microsoft.com/ws/2008/06/identity/claims/", "")
        }
        "actort" => ("http://schemas.xmlsoap.org/ws/2009/09/identity/claims/", "actor"),
        "oid" => ("http://schemas.microsoft.com/identity/claims/", "objectidentifier"),
        "scp" => ("http://schemas.microsoft.com/identity/claims/", "scope"),
        "tid" => ("http://schemas.microsoft.com/identity/claims/", "tenantid"),
        "idp" => ("http://schemas.microsoft.com/identity/claims/", "identityprovider"),
        "acr" => ("http://schemas.microsoft.com/claims/", "authnclassreference"),
        "amr" => ("http://schemas.microsoft.com/claims/", "authnmethodsreferences"),
        "adfs1email" => ("http://schemas.xmlsoap.org/claims/", "EmailAddress"),
        "adfs1upn" => ("http://schemas.xmlsoap.org/claims/", "UPN"),
        "commonname" => ("http://schemas.xmlsoap.org/claims/", "CommonName"),
        "group" => ("http://schemas.xmlsoap.org/claims/", "Group"),
        "pwdchgurl" => ("http://schemas.microsoft.com/ws/2012/01/", "passwordchangeurl"),
        "pwdexpdays" => ("http://schemas.microsoft.com/ws/2012/01/", "passwordexpirationdays"),
        "pwdexptime" => ("http://schemas.microsoft.com/ws/2012/01/", "passwordexpirationtime"),
        "insidecorporatenetwork" => ("http://schemas.microsoft.com/ws/2012/01/", ""),
        "clientapplication" => {
            ("http://schemas.microsoft.com/2012/01/requestcontext/claims/", "x-ms-client-application")
        }
        "clientip" => ("http://schemas.microsoft.com/2012/01/requestcontext/claims/", "x-ms-client-ip"),
        "clientuseragent" => ("http://schemas.microsoft.com/2012/01/requestcontext/claims/", "x-ms-client-user-agent"),
        "endpointpath" => {
            ("http://schemas.microsoft.com/2012/01/requestcontext/claims/", "x-ms-endpoint-absolute-path")
        }
        "forwardedclientip" | "fwt" => {
            ("http://schemas.microsoft.com/2012/01/requestcontext/claims/", "x-ms-forwarded-client-ip")
        }
        "proxy" => ("http://schemas.microsoft.com/2012/01/requestcontext/claims/", "x-ms-proxy"),
        "relyingpartytrustid" => ("http://schemas.microsoft.com/2012/01/requestcontext/claims/", ""),
        "devicedispname" => ("http://schemas.microsoft.com/2012/01/devicecontext/claims/", "displayname"),
        "deviceid" => ("http://schemas.microsoft.com/2012/01/devicecontext/claims/", "identifier"),
        "deviceismanaged" => ("http://schemas.microsoft.com/2012/01/devicecontext/claims/", "ismanaged"),
        "deviceostype" => ("http://schemas.microsoft.com/2012/01/devicecontext/claims/", "ostype"),
        "deviceosver" => ("http://schemas.microsoft.com/2012/01/devicecontext/claims/", "osversion"),
        "deviceowner" => ("http://schemas.microsoft.com/2012/01/devicecontext/claims/", "userowner"),
        "deviceregid" => ("http://schemas.microsoft.com/2012/01/devicecontext/claims/", "registrationid"),
        "isregistereduser" => ("http://schemas.microsoft.com/2012/01/devicecontext/claims/", ""),
        "certapppolicy" => ("http://schemas.microsoft.com/2012/12/certificatecontext/extension/", "applicationpolicy"),
        "certauthoritykeyidentifier" => {
            ("http://schemas.microsoft.com/2012/12/certificatecontext/extension/", "authoritykeyidentifier")
        }
        "certbasicconstraints" => {
            ("http://schemas.microsoft.com/2012/12/certificatecontext/extension/", "basicconstraints")
        }
        "certeku" => ("http://schemas.microsoft.com/2012/12/certificatecontext/extension/", "eku"),
        "certkeyusage" => ("http://schemas.microsoft.com/2012/12/certificatecontext/extension/", "keyusage"),
        "certpolicy" => ("http://schemas.microsoft.com/2012/12/certificatecontext/extension/", "certificatepolicy"),
        "certsubjectaltname" => ("http://schemas.microsoft.com/2012/12/certificatecontext/extension/", "san"),
        "certsubjectkeyidentifier" => {
            ("http://schemas.microsoft.com/2012/12/certificatecontext/extension/", "subjectkeyidentifier")
        }
        "certtemplateinformation" => {
            ("http://schemas.microsoft.com/2012/12/certificatecontext/extension/", "certificatetemplateinformation")
        }
        "certtemplatename" => {
            ("http://schemas.microsoft.com/2012/12/certificatecontext/extension/", "certificatetemplatename")
        }
        "certissuer" => ("http://schemas.microsoft.com/2012/12/certificatecontext/field/", "issuer"),
        "certissuername" => ("http://schemas.microsoft.com/2012/12/certificatecontext/field/", "issuername"),
        "certnotafter" => ("http://schemas.microsoft.com/2012/12/certificatecontext/field/", "notafter"),
        "certnotbefore" => ("http://schemas.microsoft.com/2012/12/certificatecontext/field/", "notbefore"),
        "certrawdata" => ("http://schemas.microsoft.com/2012/12/certificatecontext/field/", "rawdata"),
        "certsignaturealgorithm" => {
            ("http://schemas.microsoft.com/2012/12/certificatecontext/field/", "signaturealgorithm")
        }
        "certsubject" => ("http://schemas.microsoft.com/2012/12/certificatecontext/field/", "subject"),
        "certsubjectname" => ("http://schemas.microsoft.com/2012/12/certificatecontext/field/", "subjectname"),
        "certx509version" => ("http://schemas.microsoft.com/2012/12/certificatecontext/field/", "x509version"),
        _ => return None,
    })
}

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
}
