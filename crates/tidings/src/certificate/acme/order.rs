//! One order: the account, the proof of each name, the certificate. RFC 8555, 7.
//!
//! An order is written down before anything of it is answered, with the key of its certificate. A hub that is
//! restarted meanwhile goes on with it instead of beginning another, since authorities limit orders.

use std::time::Duration;

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, CertificateIdentifier, ChallengeStatus,
    ChallengeType, Error, Identifier, NewAccount, NewOrder, Order, OrderStatus, Problem,
    RenewalInfo, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::sign::CertifiedKey;

use super::answers::AnswerError;
use super::folder::{Begun, FolderError};
use super::{Acme, Binding, Challenge};
use crate::certificate::pair::{self, CertificateError};

/// How the hub waits for the authority to check names, and to make the certificate.
const POLLING: RetryPolicy = RetryPolicy::new().timeout(Duration::from_mins(2));
/// The authority does not know the account; RFC 8555, 6.7.
const UNKNOWN_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";
/// Errors that pass by themselves: nonces that were refused again and again, and a fault of the authority.
const PASSING: [&str; 2] = [
    "urn:ietf:params:acme:error:badNonce",
    "urn:ietf:params:acme:error:serverInternal",
];
/// The certificate that an order would replace has been replaced already; RFC 9773, 5.
const REPLACED: &str = "urn:ietf:params:acme:error:alreadyReplaced";

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OrderError {
    #[error("the authority cannot be asked: {0}")]
    Unreachable(#[source] Error),
    #[error("the authority refuses: {0}")]
    Refused(Problem),
    #[error("the authority could not check {name} by {challenge}: {detail}")]
    Unproved {
        name: String,
        challenge: &'static str,
        detail: String,
    },
    #[error("the authority does not offer {challenge} for {name}")]
    NotOffered {
        name: String,
        challenge: &'static str,
    },
    #[error("the authority has ended the order: its state is {state}")]
    Ended { state: String },
    #[error("the authority took more than {} s", within.as_secs())]
    Timeout { within: Duration },
    #[error("no answer can be made for {name}: {source}")]
    Answer { name: String, source: AnswerError },
    #[error("no key or request can be made: {0}")]
    Request(#[from] rcgen::Error),
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("the authority's certificate cannot be used: {0}")]
    Certificate(#[from] CertificateError),
    #[error("the authority's certificate is not for all of the names")]
    OtherNames,
}

impl From<Error> for OrderError {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the enum is not exhaustive, and what is not a problem document is a failed exchange"
    )]
    fn from(error: Error) -> Self {
        match error {
            Error::Api(problem) => Self::Refused(problem),
            error => Self::Unreachable(error),
        }
    }
}

impl Acme {
    /// Orders a certificate, or goes on with an order that was begun. `replaces` says whether the authority
    /// wants to know which certificate is replaced.
    ///
    /// # Errors
    ///
    /// Why there is none. The order is forgotten if nothing can become of it.
    pub(super) async fn order(
        &self,
        challenge: Challenge,
        replaces: bool,
    ) -> Result<CertifiedKey, OrderError> {
        let account = self.account().await?;
        let (mut order, key) = match self.begun(&account).await? {
            Some(begun) => begun,
            None => self.begin(&account, replaces).await?,
        };
        let outcome = self.complete(&mut order, challenge, &key).await;
        if !matches!(&outcome, Err(error) if error.leaves_order()) {
            self.folder.remove_order()?;
        }
        outcome
    }

    /// Returns when the authority suggests to renew a certificate, and when to ask again. `None` if it makes no
    /// suggestions, or there is no account to ask with.
    ///
    /// # Errors
    ///
    /// The authority cannot be asked.
    pub(super) async fn renewal_info(
        &self,
        current: &CertifiedKey,
    ) -> Result<Option<(RenewalInfo, Duration)>, OrderError> {
        let Some(credentials) = self.folder.account()? else {
            return Ok(None);
        };
        let Some(id) = identifier(current) else {
            return Ok(None);
        };
        let account = self.known_account(credentials).await?;
        match account.renewal_info(&id).await {
            Ok(info) => Ok(Some(info)),
            Err(Error::Unsupported(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the hub's account with the authority. Makes one if there is none.
    async fn account(&self) -> Result<Account, OrderError> {
        if let Some(credentials) = self.folder.account()? {
            return self.known_account(credentials).await;
        }
        let contact: Vec<&str> = self.options.contact.iter().map(String::as_str).collect();
        let wanted = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let binding = self.options.binding.as_ref().map(Binding::key);
        let directory = self.options.directory.to_string();
        let (account, credentials) = Account::builder_with_http(Box::new(self.transport.clone()))
            .create(&wanted, directory, binding.as_ref())
            .await?;
        self.folder.save_account(&credentials)?;
        tracing::info!(
            account = account.id(),
            "there is an account with the certificate authority"
        );
        Ok(account)
    }

    async fn known_account(&self, credentials: AccountCredentials) -> Result<Account, OrderError> {
        let builder = Account::builder_with_http(Box::new(self.transport.clone()));
        Ok(builder.from_credentials(credentials).await?)
    }

    /// Returns the order that an earlier attempt began, if it can still be completed.
    async fn begun(&self, account: &Account) -> Result<Option<(Order, KeyPair)>, OrderError> {
        let Some(begun) = self.folder.order()? else {
            return Ok(None);
        };
        let key = KeyPair::from_pem(&begun.key);
        if let (true, Ok(key)) = (begun.names == self.options.names, key) {
            match account.order(begun.url).await {
                Ok(mut order) => {
                    // One that failed is of no use any more.
                    if order.state().status != OrderStatus::Invalid {
                        tracing::info!(order = order.url(), "going on with a certificate's order");
                        return Ok(Some((order, key)));
                    }
                }
                // The authority has forgotten it.
                Err(Error::Api(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.folder.remove_order()?;
        Ok(None)
    }

    async fn begin(
        &self,
        account: &Account,
        replaces: bool,
    ) -> Result<(Order, KeyPair), OrderError> {
        let names = self.options.names.iter();
        let names: Vec<Identifier> = names.cloned().map(Identifier::Dns).collect();
        let current = self.current.load_full();
        let replaced = current.as_deref().and_then(identifier).filter(|_| replaces);
        let order = match replaced {
            None => account.new_order(&NewOrder::new(&names)).await,
            Some(replaced) => {
                let order = account
                    .new_order(&NewOrder::new(&names).replaces(replaced))
                    .await;
                match order {
                    Err(Error::Api(problem)) if problem.r#type.as_deref() == Some(REPLACED) => {
                        account.new_order(&NewOrder::new(&names)).await
                    }
                    order => order,
                }
            }
        };
        if let Err(Error::Api(problem)) = &order
            && problem.r#type.as_deref() == Some(UNKNOWN_ACCOUNT)
        {
            // The next attempt makes another one.
            self.folder.remove_account()?;
        }
        let order = order?;
        let key = KeyPair::generate()?;
        self.folder.save_order(&Begun {
            url: order.url().to_owned(),
            names: self.options.names.clone(),
            key: key.serialize_pem(),
        })?;
        Ok((order, key))
    }

    async fn complete(
        &self,
        order: &mut Order,
        challenge: Challenge,
        key: &KeyPair,
    ) -> Result<CertifiedKey, OrderError> {
        if order.state().status == OrderStatus::Pending {
            self.prove(order, challenge).await?;
        }
        if order.state().status == OrderStatus::Ready {
            let mut params = CertificateParams::new(self.options.names.clone())?;
            params.distinguished_name = DistinguishedName::new();
            let request = params.serialize_request(key)?;
            order.finalize_csr(request.der()).await?;
        }
        let chain = order.poll_certificate(&POLLING).await?;
        let pem = key.serialize_pem();
        let ordered = pair::parse(&pem, &chain)?;
        if !pair::is_for(&ordered, &self.options.names) {
            return Err(OrderError::OtherNames);
        }
        self.folder.save_certificate(&pem, &chain)?;
        Ok(ordered)
    }

    /// Publishes an answer for each name, and waits until the authority has checked them.
    async fn prove(&self, order: &mut Order, kind: Challenge) -> Result<(), OrderError> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status != AuthorizationStatus::Pending {
                // Checked for an earlier order; or failed, which the state of the order says.
                continue;
            }
            let name = authorization.identifier().to_string();
            let Some(challenge) = authorization.challenge(type_of(kind)) else {
                let challenge = kind.name();
                return Err(OrderError::NotOffered { name, challenge });
            };
            let proof = challenge.key_authorization();
            match kind {
                Challenge::TlsAlpn01 => self
                    .answers
                    .add_proof(&name, &proof)
                    .map_err(|source| OrderError::Answer { name, source })?,
                Challenge::Http01 => self.answers.add_document(&challenge.token, &proof),
            }
        }
        self.spread().await;
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            let is_pending = authorization.status == AuthorizationStatus::Pending;
            let challenge = authorization.challenge(type_of(kind));
            let Some(mut challenge) = challenge.filter(|_| is_pending) else {
                continue;
            };
            // Otherwise it is being checked already, for the process before this one.
            if challenge.status == ChallengeStatus::Pending {
                challenge.set_ready().await?;
            }
        }
        match order.poll_ready(&POLLING).await {
            Ok(OrderStatus::Ready | OrderStatus::Processing | OrderStatus::Valid) => Ok(()),
            Ok(OrderStatus::Pending | OrderStatus::Invalid) => {
                Err(failed_check(order, kind, None).await)
            }
            Err(Error::Api(problem)) => Err(failed_check(order, kind, Some(problem)).await),
            Err(error) => Err(error.into()),
        }
    }
}

/// Finds the name that could not be checked, and why.
async fn failed_check(order: &mut Order, kind: Challenge, problem: Option<Problem>) -> OrderError {
    let state = format!("{:?}", order.state().status).to_lowercase();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let Ok(mut authorization) = authorization else {
            continue;
        };
        if authorization.refresh().await.is_err() {
            continue;
        }
        let name = authorization.identifier().to_string();
        let mut failed = authorization.challenges.iter();
        if let Some(error) = failed.find_map(|challenge| challenge.error.as_ref()) {
            return OrderError::Unproved {
                name,
                challenge: kind.name(),
                detail: error.to_string(),
            };
        }
    }
    match problem {
        Some(problem) => OrderError::Refused(problem),
        None => OrderError::Ended { state },
    }
}

impl OrderError {
    /// Returns whether the order may still be completed.
    fn leaves_order(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Timeout { .. } | Self::Folder(_) => true,
            Self::Refused(problem) => passes(problem),
            Self::Unproved { .. }
            | Self::NotOffered { .. }
            | Self::Ended { .. }
            | Self::Answer { .. }
            | Self::Request(_)
            | Self::Certificate(_)
            | Self::OtherNames => false,
        }
    }

    /// Returns whether another way to prove the names may succeed.
    pub(super) fn is_about_challenge(&self) -> bool {
        matches!(self, Self::Unproved { .. } | Self::NotOffered { .. })
    }

    /// Returns whether the authority has decided nothing, so that asking again costs it little.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Refused(problem) => passes(problem),
            Self::Unproved { .. }
            | Self::NotOffered { .. }
            | Self::Ended { .. }
            | Self::Timeout { .. }
            | Self::Answer { .. }
            | Self::Request(_)
            | Self::Folder(_)
            | Self::Certificate(_)
            | Self::OtherNames => false,
        }
    }
}

fn passes(problem: &Problem) -> bool {
    let kind = problem.r#type.as_deref().unwrap_or_default();
    PASSING.contains(&kind) || problem.status.is_some_and(|status| status >= 500)
}

fn type_of(challenge: Challenge) -> ChallengeType {
    match challenge {
        Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
        Challenge::Http01 => ChallengeType::Http01,
    }
}

/// Returns what an authority knows a certificate by; RFC 9773, 4.1.
fn identifier(pair: &CertifiedKey) -> Option<CertificateIdentifier<'static>> {
    let certificate = pair.end_entity_cert().ok()?;
    CertificateIdentifier::try_from(certificate)
        .ok()
        .map(CertificateIdentifier::into_owned)
}
