//! One order of a certificate, from the account to the chain (RFC 8555, section 7).

use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Error, Identifier, NewAccount, NewOrder, Order, OrderStatus,
    RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};

use super::certificates::{Answering, Certificates};
use super::client::DirectoryClient;
use super::failure::Failure;
use crate::settings::{AcmeSettings, DomainName};

/// How long the directory may take to validate names, and to issue a certificate.
const PATIENCE: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(250)).backoff(1.5).timeout(Duration::from_secs(120));

/// Makes an account with the directory; gives it with what has to be kept of it.
pub(super) async fn register(settings: &AcmeSettings, client: DirectoryClient) -> Result<(Account, String), Failure> {
    let contact = settings.email.as_ref().map(|email| format!("mailto:{email}"));
    let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
    let account = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let builder = Account::builder_with_http(Box::new(client));
    let (account, credentials) = builder.create(&account, settings.directory.to_string(), None).await?;
    let kept = serde_json::to_string(&credentials).map_err(Error::from)?;
    Ok((account, kept))
}

/// The account of which this was kept.
pub(super) async fn sign_in(kept: &str, client: DirectoryClient) -> Result<Account, Failure> {
    // The error could repeat what is in the text.
    let credentials = serde_json::from_str(kept).map_err(|_| Failure::other("the account that is kept cannot be read"));
    Ok(Account::builder_with_http(Box::new(client)).from_credentials(credentials?).await?)
}

/// Orders a certificate for all domains; gives it with its key, in PEM.
pub(super) async fn order(
    account: &Account,
    domains: &[DomainName],
    certificates: &Arc<Certificates>,
) -> Result<String, Failure> {
    let identifiers: Vec<Identifier> = domains.iter().map(|domain| Identifier::Dns(domain.to_string())).collect();
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
    let answering = answer_questions(&mut order, certificates).await?;
    if !answering.is_empty() {
        match order.poll_ready(&PATIENCE).await {
            Ok(OrderStatus::Ready) => {}
            Ok(_) | Err(Error::Api(_) | Error::Timeout(_)) => return Err(why_not_ready(&mut order).await),
            Err(error) => return Err(error.into()),
        }
    }
    drop(answering);
    let (key, request) = signing_request(domains).map_err(|error| Failure::other(error.to_string()))?;
    order.finalize_csr(&request).await?;
    let chain = order.poll_certificate(&PATIENCE).await?;
    Ok(format!("{key}{chain}"))
}

/// Answers for each name that is not known to be the gateway's, and has the directory ask.
async fn answer_questions(order: &mut Order, certificates: &Arc<Certificates>) -> Result<Vec<Answering>, Failure> {
    let mut answering = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let Some(domain) = domain_of(authorization.identifier().identifier) else {
            return Err(Failure::other("the directory wants a name validated that was not ordered"));
        };
        let Some(mut challenge) = authorization.challenge(ChallengeType::TlsAlpn01) else {
            let cure = "choose a directory that has this challenge";
            let what = format!("the directory does not offer to validate {domain} by TLS-ALPN-01");
            return Err(Failure { cure, ..Failure::other(what) });
        };
        let digest = challenge.key_authorization().digest();
        answering.push(certificates.answer(&domain, digest.as_ref())?);
        challenge.set_ready().await?;
    }
    Ok(answering)
}

/// What the directory says of the first name that it did not validate.
async fn why_not_ready(order: &mut Order) -> Failure {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { break };
        if state.status == AuthorizationStatus::Valid {
            continue;
        }
        let problem = state.challenges.iter().find_map(|challenge| challenge.error.clone());
        if let Some(domain) = domain_of(authorization.identifier().identifier) {
            return Failure::of_validation(&domain, problem.as_ref());
        }
    }
    Failure::other("the directory does not accept the order, and does not say why")
}

fn domain_of(identifier: &Identifier) -> Option<DomainName> {
    match identifier {
        Identifier::Dns(name) => DomainName::parse(name).ok(),
        _ => None,
    }
}

/// A new key in PEM, and the request to sign it in DER.
fn signing_request(domains: &[DomainName]) -> Result<(String, Vec<u8>), rcgen::Error> {
    let names: Vec<String> = domains.iter().map(DomainName::to_string).collect();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    let key = KeyPair::generate()?;
    let request = params.serialize_request(&key)?;
    Ok((key.serialize_pem(), request.der().to_vec()))
}
