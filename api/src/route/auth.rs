//! Sign-up, login, renewal and logout, and the codes that come by mail.
//!
//! Everything that is slow or secret happens here, before proposing: passwords are hashed and
//! compared, codes and tokens are generated, personal data is sealed. The log holds no secret and
//! no personal data in plain text.

use std::sync::Arc;

use firstcome_domain::command::{
    AddressAdd, EmailCodeConfirm, EmailCodeRequest, LoginFail, PasswordReset, SessionClose,
    SessionOpen, SessionRotate, UserSignUp,
};
use firstcome_domain::email_code::{CodePurpose, EmailCode};
use firstcome_domain::session::Session;
use firstcome_domain::user::{User, by_email};
use firstcome_domain::value::{EmailIndex, Sealed};
use firstcome_domain::{
    Action, Actor, AddressId, Command, Done, EffectId, Outcome, SessionId, UserId, View as _,
};
use firstcome_raft::Reply;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::routes::Routes;
use crate::access::Permission;
use crate::account::{self, Opened, Profile, email_index};
use crate::body::EmptyBody;
use crate::budget::Budget;
use crate::call::{Answer, Call, unexpected};
use crate::email::EmailAddress;
use crate::fields::{Fields, phone};
use crate::keys::{OwnKeys, Ring};
use crate::mail::{Letter, Template};
use crate::password::Password;
use crate::problem::{Code, Problem};
use crate::refresh::{RefreshToken, refresh_token};
use crate::resource::session::{TokensBody, VerificationBody};
use crate::resource::user::UserBody;
use crate::seal::{AccountField, DataKey, DeliveryAddress, Owner, seal_address, seal_letter};
use crate::secret::{OneTimeCode, draw_secret, hash_of};
use crate::spec::{KeyRule, Spec, Success, schema_of};
use crate::token::{Bearer, SessionClaim};
use crate::{edge, rfc3339, seeded};

const TAG: &str = "accounts and sessions";

/// Common to all routes of this file.
const BASE: Spec = Spec {
    tag: TAG,
    permission: Permission::AuthPublic,
    budget: Budget::Auth,
    key: KeyRule::Unused,
    ..Spec::POST
};
const VERIFY: Spec = Spec {
    path: "/v1/auth/email-verifications",
    operation: "request_email_verification",
    summary: "Mails a code to an address. The response is the same whether or not it has an account.",
    body: Some(schema_of::<EmailRequest>()),
    status: 202,
    success: Success::One(schema_of::<EmptyBody>()),
    codes: &[Code::EmailCodeTooSoon, Code::EmailCodeTooMany],
    ..BASE
};
const CONFIRM: Spec = Spec {
    path: "/v1/auth/email-verifications/confirm",
    operation: "confirm_email_verification",
    summary: "Exchanges the code from the mail for a token that signs up with its address.",
    body: Some(schema_of::<CodeRequest>()),
    status: 200,
    success: Success::One(schema_of::<VerificationBody>()),
    codes: &[Code::EmailCodeInvalid],
    ..BASE
};
const SIGN_UP: Spec = Spec {
    path: "/v1/auth/sign-up",
    operation: "sign_up",
    summary: "Creates an account with a verified e-mail address.",
    key: KeyRule::Accepted,
    body: Some(schema_of::<SignUpRequest>()),
    success: Success::One(schema_of::<UserBody>()),
    codes: &[Code::EmailUnverified, Code::EmailTaken, Code::IdInUse, Code::AuthBusy],
    ..BASE
};
const LOGIN: Spec = Spec {
    path: "/v1/auth/login",
    operation: "log_in",
    summary: "Opens a session. A user has at most 10; the oldest one ends.",
    body: Some(schema_of::<LoginRequest>()),
    status: 200,
    success: Success::One(schema_of::<TokensBody>()),
    codes: &[Code::LoginRefused, Code::LoginThrottled, Code::IdInUse, Code::AuthBusy],
    ..BASE
};
const REFRESH: Spec = Spec {
    path: "/v1/auth/refresh",
    operation: "refresh_session",
    summary: "Renews a session. The same token gives the same successor for 30 seconds; later, it ends the session.",
    body: Some(schema_of::<RefreshRequest>()),
    status: 200,
    success: Success::One(schema_of::<TokensBody>()),
    codes: &[Code::TokenInvalid, Code::TokenRevoked, Code::SessionReuse],
    ..BASE
};
const LOGOUT: Spec = Spec {
    path: "/v1/auth/logout",
    operation: "log_out",
    summary: "Ends the session of the access token, on every node. Repeatable.",
    body: Some(schema_of::<EmptyBody>()),
    body_optional: true,
    status: 204,
    success: Success::Empty,
    codes: &[Code::TokenMissing, Code::TokenInvalid, Code::TokenExpired],
    ..BASE
};
const RESET: Spec = Spec {
    path: "/v1/auth/password-resets",
    operation: "request_password_reset",
    summary: "Mails a link for a new password, if the address has an account. The response is always the same.",
    body: Some(schema_of::<EmailRequest>()),
    status: 202,
    success: Success::One(schema_of::<EmptyBody>()),
    ..BASE
};
const RESET_CONFIRM: Spec = Spec {
    path: "/v1/auth/password-resets/confirm",
    operation: "confirm_password_reset",
    summary: "Sets a new password with the token from the mail, and ends every session.",
    body: Some(schema_of::<ResetRequest>()),
    status: 204,
    success: Success::Empty,
    codes: &[Code::EmailCodeInvalid, Code::AuthBusy],
    ..BASE
};

/// Adds the routes of this file.
pub(super) fn register(routes: Routes) -> Routes {
    routes
        .with(&VERIFY, verify)
        .with(&CONFIRM, confirm)
        .with(&SIGN_UP, sign_up)
        .with(&LOGIN, log_in)
        .with(&REFRESH, refresh)
        .with(&LOGOUT, log_out)
        .with(&RESET, reset)
        .with(&RESET_CONFIRM, confirm_reset)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct EmailRequest {
    /// 3 to 254 bytes.
    #[schema(min_length = 3, max_length = 254)]
    email: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CodeRequest {
    #[schema(min_length = 3, max_length = 254)]
    email: String,
    /// Six digits.
    #[schema(pattern = "^[0-9]{6}$")]
    code: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SignUpRequest {
    #[schema(min_length = 3, max_length = 254)]
    email: String,
    /// 8 to 128 characters.
    #[schema(value_type = String, min_length = 8, max_length = 128)]
    password: Password,
    /// 1 to 50 characters.
    #[schema(max_length = 50)]
    name: String,
    /// 8 to 20 digits, `+` and `-`.
    #[schema(min_length = 8, max_length = 20)]
    phone: String,
    /// From the confirmation of the address.
    verification_token: String,
    /// A first saved address.
    #[serde(default)]
    address: Option<DeliveryAddress>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LoginRequest {
    #[schema(min_length = 3, max_length = 254)]
    email: String,
    #[schema(value_type = String, max_length = 128)]
    password: Password,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RefreshRequest {
    refresh_token: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ResetRequest {
    /// From the mail.
    reset_token: String,
    /// 8 to 128 characters.
    #[schema(value_type = String, min_length = 8, max_length = 128)]
    new_password: Password,
}

/// An address that a request names, by its keyed hash.
fn email_of(call: &Call, typed: &str) -> Result<(EmailAddress, EmailIndex), Problem> {
    let mut fields = Fields::default();
    let email = EmailAddress::read(typed, "/email", &mut fields);
    fields.finish()?;
    let email = email.ok_or_else(|| Problem::new(Code::Internal))?;
    let index = email_index(&ring(call)?.own, &email);
    call.limit_email(index)?;
    Ok((email, index))
}

/// The cluster's own keys. The edge has seen to it that they are known before a write comes here.
fn ring(call: &Call) -> Result<Arc<Ring>, Problem> {
    call.app.keys.ring().ok_or_else(|| Problem::new(Code::NotReady))
}

async fn verify(call: Call) -> Result<Answer, Problem> {
    let EmailRequest { email } = call.json()?;
    let (email, index) = email_of(&call, &email)?;
    let code = OneTimeCode::draw().map_err(|_| Problem::new(Code::Internal))?;
    let mac = code_mac(&ring(&call)?.own, &code, index);
    let template = Template::SignUpCode { code: code.as_str().to_owned() };
    let reply = request(&call, CodePurpose::SignUp, (&email, index), mac, template).await?;
    call.wrote(&EmptyBody {}, &reply)
}

fn code_mac(own: &OwnKeys, code: &OneTimeCode, email: EmailIndex) -> [u8; 32] {
    code.mac(own.code.clone(), &email.0, "sign_up")
}

/// Asks for a mail with a code.
async fn request(
    call: &Call,
    purpose: CodePurpose,
    (address, email): (&EmailAddress, EmailIndex),
    mac: [u8; 32],
    template: Template,
) -> Result<Reply, Problem> {
    let effect = EffectId::new(Uuid::now_v7().as_u128());
    let recipient = address.as_str().to_owned();
    let letter = Letter { recipient, language: call.language(), template };
    let letter = serde_json::to_vec(&letter).map_err(|_| Problem::new(Code::Internal))?;
    let letter = seal_letter(&call.app.keys, effect, &letter)?;
    let ask = EmailCodeRequest { purpose, email, mac, effect, letter };
    call.propose_as(Actor::Anyone, &email.0, Action::EmailCodeRequest(ask)).await
}

async fn confirm(call: Call) -> Result<Answer, Problem> {
    let CodeRequest { email, code } = call.json()?;
    let (_, email) = email_of(&call, &email)?;
    // Anything but six digits cannot be the code, so it needs no log entry.
    let code = OneTimeCode::parse(&code).filter(|_| !seeded::is_used_up_here(email));
    let code = code.ok_or_else(|| Problem::new(Code::EmailCodeInvalid))?;
    let mac = code_mac(&ring(&call)?.own, &code, email);
    let token = draw_secret().map_err(|_| Problem::new(Code::Internal))?;
    let ask = EmailCodeConfirm { email, mac, proof: hash_of(&token) };
    let reply = call.propose_as(Actor::Anyone, &email.0, Action::EmailCodeConfirm(ask)).await?;
    call.wrote(&VerificationBody::new(&token), &reply)
}

async fn sign_up(call: Call) -> Result<Answer, Problem> {
    let body: SignUpRequest = call.json()?;
    let mut fields = Fields::default();
    let email = EmailAddress::read(&body.email, "/email", &mut fields);
    let local = email.as_ref().map_or("", EmailAddress::local);
    body.password.check(
        "/password",
        &[local, call.app.options.mail.shop_name.as_str()],
        &mut fields,
    );
    let name = fields.text("/name", &body.name, 50, false);
    let phone = phone("/phone", &body.phone, &mut fields);
    let clean =
        |address: DeliveryAddress| address.clean("/address", call.app.options.country, &mut fields);
    let address = body.address.map(clean);
    fields.finish()?;
    let email = email.ok_or_else(|| Problem::new(Code::Internal))?;
    let index = email_index(&ring(&call)?.own, &email);
    call.limit_email(index)?;
    let proof = hash_of(&body.verification_token);
    // Hashing is expensive, so the proof is checked first. With a key the check is skipped: a retry
    // of a completed sign-up has used its proof, and must still get its receipt.
    if call.key.is_none() {
        require_proof(&call, index, proof).await?;
    }
    let hash = call.app.passwords.hash(body.password).await?;
    let id = UserId::new(Uuid::now_v7().as_u128());
    let keys = &call.app.keys;
    let profile = Profile { name, phone };
    let account = account::seal(keys, id, (&email, index), &profile, &hash, call.language())?;
    let owner = Owner::of_account(keys, id, &account)?;
    let address = address.map(|address| {
        let body = seal_address(keys, &owner, &address, "/address")?;
        Ok::<_, Problem>(AddressAdd { id: AddressId::new(Uuid::now_v7().as_u128()), body })
    });
    let ask = UserSignUp { id, account, proof, address: address.transpose()? };
    let reply = call.propose_as(Actor::Anyone, &index.0, Action::UserSignUp(ask)).await?;
    let Outcome::Done(Done::User(user)) = &reply.outcome else { return Err(unexpected(&reply)) };
    let answer = call.wrote(&UserBody::of(keys, user)?, &reply)?;
    Ok(answer.located("/v1/me".to_owned()).tagged(user.row.version))
}

async fn require_proof(call: &Call, email: EmailIndex, proof: [u8; 32]) -> Result<(), Problem> {
    let key = EmailCode::key_of((CodePurpose::SignUp, email));
    let read = call.read_current(|rows| rows.get::<EmailCode>(key)).await?;
    let proven = read.value.and_then(|code| code.proof).filter(|known| known.is_of(&proof));
    if proven.is_some_and(|proof| call.now() < proof.expires_at) {
        Ok(())
    } else {
        Err(Problem::new(Code::EmailUnverified).at(read.revision))
    }
}

async fn log_in(call: Call) -> Result<Answer, Problem> {
    let LoginRequest { email, password } = call.json()?;
    let (_, email) = email_of(&call, &email)?;
    let read = call.read_current(|rows| by_email(rows, email).and_then(|id| rows.get::<User>(id)));
    let user = read.await?.value;
    throttled(&call, user.as_deref(), email)?;
    let opened = user.as_ref().map(|user| Opened::of(&call.app.keys, user)).transpose()?.flatten();
    let hash = opened.as_ref().map(Opened::password).transpose()?;
    let verified = call.app.passwords.verify(password, hash).await?;
    let (Some(user), Some(opened), true) = (&user, &opened, verified.ok) else {
        count_failure(&call, user.as_deref(), email);
        return Err(Problem::new(Code::LoginRefused));
    };
    let open = SessionOpen {
        id: SessionId::new(Uuid::now_v7().as_u128()),
        user: user.id,
        password_version: opened.account.password_version,
        refresh_key: ring(&call)?.own.refresh.0,
    };
    let reply = call.propose_as(Actor::Anyone, &email.0, Action::SessionOpen(open)).await?;
    tokens(&call, &reply)
}

/// Refuses a login while it is throttled.
fn throttled(call: &Call, user: Option<&User>, email: EmailIndex) -> Result<(), Problem> {
    let problem = || Problem::new(Code::LoginThrottled);
    let Some(user) = user else {
        let Some(wait) = call.app.throttle.wait(email) else { return Ok(()) };
        let seconds = u32::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX);
        return Err(problem().retry_after(seconds));
    };
    let now = call.now();
    match user.login_after.filter(|until| now < *until) {
        Some(until) => Err(problem().retry_from(until, now)),
        None => Ok(()),
    }
}

/// Counts a wrong password. The response does not wait, because its timing would reveal whether
/// the account exists.
fn count_failure(call: &Call, user: Option<&User>, email: EmailIndex) {
    let Some(user) = user.map(|user| user.id) else { return call.app.throttle.fail(email) };
    let (node, action) = (call.app.node.clone(), Action::LoginFail(LoginFail { user }));
    tokio::spawn(async move {
        let command = Command { actor: Actor::Anyone, receipt: None, action };
        if let Err(failure) = node.propose(command).await {
            tracing::warn!(%user, %failure, "a wrong password was not counted");
        }
    });
}

/// The tokens of a session, as a decision left it.
fn tokens(call: &Call, reply: &Reply) -> Result<Answer, Problem> {
    let Outcome::Done(Done::Session(session)) = &reply.outcome else {
        return Err(unexpected(reply));
    };
    call.wrote(&tokens_of(call, session)?, reply)
}

fn tokens_of(call: &Call, session: &Session) -> Result<TokensBody, Problem> {
    let access_ms = call.app.node.read(|rows| rows.settings().access_token_ms)?;
    let seconds = u64::try_from(access_ms / 1_000).unwrap_or_default();
    let claim = SessionClaim {
        user: session.user,
        session: session.id,
        epoch: session.epoch,
        revision: session.row.created.revision,
    };
    let access_token = call.app.keys.mint_for(&claim, seconds);
    let (_, refresh) = ring(call)?.own.refresh.clone();
    Ok(TokensBody {
        access_token: access_token.ok_or_else(|| Problem::new(Code::NotReady))?,
        token_type: "Bearer",
        expires_in_seconds: seconds,
        refresh_token: refresh_token(refresh, &session.id.to_string(), session.generation),
        refresh_expires_at: rfc3339::format(session.ends_at()),
        session_id: session.id.to_string(),
        user_id: session.user.to_string(),
    })
}

async fn refresh(call: Call) -> Result<Answer, Problem> {
    let RefreshRequest { refresh_token } = call.json()?;
    let (_, mac) = ring(&call)?.own.refresh.clone();
    let invalid = || Problem::new(Code::TokenInvalid).detail("This is not a refresh token.");
    let token = RefreshToken::parse(&refresh_token).filter(|token| token.verify(mac));
    let token = token.ok_or_else(invalid)?;
    let id: SessionId = token.session().parse().map_err(|_| invalid())?;
    let rotate = SessionRotate { id, generation: token.generation };
    let principal = id.to_string();
    let action = Action::SessionRotate(rotate);
    let reply = call.propose_as(Actor::Anyone, principal.as_bytes(), action).await?;
    tokens(&call, &reply)
}

/// Verifies the token but not that its session is open, so that logging out twice succeeds.
async fn log_out(call: Call) -> Result<Answer, Problem> {
    let bearer = edge::bearer(&call.app, &call.headers)?;
    let bearer = bearer.ok_or_else(|| Problem::new(Code::TokenMissing))?;
    let EmptyBody {} = call.json()?;
    let Bearer::Session(SessionClaim { user, session: id, .. }) = bearer else {
        let detail = "Only the token of a session can log out.";
        return Err(Problem::new(Code::TokenInvalid).detail(detail));
    };
    let close = Action::SessionClose(SessionClose { id: seeded::closed(id), user });
    let principal = user.to_string();
    let reply = call.propose_as(Actor::Anyone, principal.as_bytes(), close).await?;
    call.wrote(&(), &reply)
}

/// What a reset token begins with.
const RESET_PREFIX: &str = "rst_";

async fn reset(call: Call) -> Result<Answer, Problem> {
    let EmailRequest { email } = call.json()?;
    let (email, index) = email_of(&call, &email)?;
    let read = call.read_current(|rows| by_email(rows, index)).await?;
    // Without an account no mail is sent; the rest must look the same.
    let user = read.value.unwrap_or_else(|| UserId::new(Uuid::now_v7().as_u128()));
    let secret = draw_secret().map_err(|_| Problem::new(Code::Internal))?;
    let user = user.to_string();
    let user = user.strip_prefix(UserId::PREFIX).unwrap_or_default();
    let token = format!("{RESET_PREFIX}{user}.{}", *secret);
    let mac = hash_of(&secret);
    let template = Template::PasswordReset { token };
    let asked = request(&call, CodePurpose::PasswordReset, (&email, index), mac, template).await;
    match asked {
        Ok(reply) => call.wrote(&EmptyBody {}, &reply),
        // Any other response would reveal that the account exists.
        Err(problem)
            if matches!(problem.code(), Code::EmailCodeTooSoon | Code::EmailCodeTooMany) =>
        {
            Answer::json(call.route, &EmptyBody {})
        }
        Err(problem) => Err(problem),
    }
}

/// The user and the secret of a reset token.
fn reset_parts(token: &str) -> Option<(UserId, &str)> {
    let (user, secret) = token.strip_prefix(RESET_PREFIX)?.split_once('.')?;
    Some((format!("{}{user}", UserId::PREFIX).parse().ok()?, secret))
}

async fn confirm_reset(call: Call) -> Result<Answer, Problem> {
    let ResetRequest { reset_token, new_password } = call.json()?;
    let invalid = || Problem::new(Code::EmailCodeInvalid);
    let (id, secret) = reset_parts(&reset_token).ok_or_else(invalid)?;
    let secret = hash_of(secret);
    let read = call.read_current(|rows| {
        let user = rows.get::<User>(id)?;
        let email = user.account.as_ref()?.email_index;
        let code = EmailCode::key_of((CodePurpose::PasswordReset, email));
        Some((user, rows.get::<EmailCode>(code)?))
    });
    let (user, code) = read.await?.value.ok_or_else(invalid)?;
    if !code.is_live(call.now()) || !code.matches(&secret) {
        return Err(invalid());
    }
    let opened = Opened::of(&call.app.keys, &user)?.ok_or_else(invalid)?;
    let hash = new_password_hash(&call, new_password, "/new_password", &opened).await?;
    let password = seal_password(&opened.key, &hash)?;
    let ask = PasswordReset { user: id, secret, password };
    let principal = id.to_string();
    let action = Action::PasswordReset(ask);
    let reply = call.propose_as(Actor::Anyone, principal.as_bytes(), action).await?;
    call.wrote(&(), &reply)
}

/// Checks a new password for an account, and hashes it.
pub(super) async fn new_password_hash(
    call: &Call,
    password: Password,
    at: &str,
    opened: &Opened<'_>,
) -> Result<String, Problem> {
    let email = opened.email()?;
    let mut fields = Fields::default();
    password.check(at, &[email.local(), call.app.options.mail.shop_name.as_str()], &mut fields);
    fields.finish()?;
    call.app.passwords.hash(password).await
}

/// Seals the hash of a password.
pub(super) fn seal_password(key: &DataKey, hash: &str) -> Result<Sealed, Problem> {
    key.seal(AccountField::Password, hash.as_bytes())
}
