//! What a client of the workload `accounts` may ask for, and the part of the answer that counts.
//!
//! Users, sessions and addresses are recorded by name, so that checkers know what an access was
//! about. Tokens are recorded too: the master key of a run lies beside its history.

use serde_json::{Value, json};

use super::http::Request;
use super::invocation::Invocation;

/// A person, before the cluster knows them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Person {
    /// The address.
    pub email: String,
    /// Which of their passwords counts: 0, and the next number after a reset.
    pub password: u64,
}

/// A session, or an issued token, as its user holds it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Login {
    /// `usr_...`
    pub user: String,
    /// `ses_...`, or a name of its own for an issued token.
    pub session: String,
    /// The access token.
    pub access: String,
    /// The refresh token; an issued token has none.
    pub refresh: String,
}

impl Login {
    /// How often the session had been renewed when the refresh token was made.
    pub fn generation(&self) -> Option<u64> {
        generation(&self.refresh)
    }
}

/// What staff change about a user.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// Another role.
    Role(&'static str),
    /// Keeps them out, or lets them in again.
    Blocked(bool),
}

/// The operations. Each is recorded under its name.
pub const OPERATIONS: &[&str] = &[
    "verify",
    "guess",
    "sign_up",
    "bootstrap",
    "login",
    "refresh",
    "logout",
    "me",
    "rename",
    "staff_read",
    "staff_write",
    "user",
    "manage",
    "issue",
    "reset",
    "set_password",
];

/// Whether an operation is one of accounts.
pub fn covers(f: &str) -> bool {
    OPERATIONS.contains(&f)
}

/// The password of this number.
fn password(number: u64) -> String {
    format!("correct horse battery {number}")
}

fn public(f: &'static str, path: &str, value: Value, body: Value) -> Invocation {
    let request = Request {
        method: "POST",
        path: path.to_owned(),
        token: None,
        key: None,
        body: Some(body),
        headers: Vec::new(),
    };
    Invocation { f, pool: None, value, request }
}

/// Asks for a code by mail.
pub fn verify(email: &str) -> Invocation {
    let body = json!({"email": email});
    public("verify", "/v1/auth/email-verifications", body.clone(), body)
}

/// Tries a code.
pub fn guess(email: &str, code: &str, is_right: bool) -> Invocation {
    let (value, body) =
        (json!({"email": email, "right": is_right}), json!({"email": email, "code": code}));
    public("guess", "/v1/auth/email-verifications/confirm", value, body)
}

fn account(person: &Person) -> Value {
    json!({
        "email": person.email, "password": password(person.password), "name": "Jep Sen",
        "phone": "010-1234-5678",
    })
}

/// Signs up with the token that the right code gave.
pub fn sign_up(person: &Person, token: &str) -> Invocation {
    let mut body = account(person);
    body["verification_token"] = json!(token);
    public("sign_up", "/v1/auth/sign-up", json!({"email": person.email}), body)
}

/// Creates the first admin.
pub fn bootstrap(staff: &str, person: &Person) -> Invocation {
    let value = json!({"email": person.email});
    let asked = public("bootstrap", "/v1/admin/bootstrap", value, account(person));
    with_token(asked, staff)
}

/// Logs in.
pub fn login(person: &Person) -> Invocation {
    let value = json!({"email": person.email, "password": person.password});
    let body = json!({"email": person.email, "password": password(person.password)});
    public("login", "/v1/auth/login", value, body)
}

/// Renews a session.
pub fn refresh(login: &Login) -> Invocation {
    let mut value = about(login);
    value["generation"] = json!(login.generation());
    public("refresh", "/v1/auth/refresh", value, json!({"refresh_token": login.refresh}))
}

/// Ends a session.
pub fn logout(login: &Login) -> Invocation {
    with_token(public("logout", "/v1/auth/logout", about(login), json!({})), &login.access)
}

/// Reads the caller.
pub fn me(login: &Login) -> Invocation {
    read("me", "/v1/me".to_owned(), about(login), &login.access)
}

/// Changes the caller's name.
pub fn rename(login: &Login, name: &str) -> Invocation {
    let asked = public("rename", "/v1/me", about(login), json!({"name": name}));
    let request = Request { method: "PATCH", ..asked.request };
    with_token(Invocation { request, ..asked }, &login.access)
}

/// Reads what only staff may see.
pub fn staff_read(login: &Login) -> Invocation {
    read("staff_read", "/v1/admin/orders?limit=1".to_owned(), about(login), &login.access)
}

/// Writes what only staff may change.
pub fn staff_write(login: &Login, key: &str) -> Invocation {
    let body = json!({
        "name": key, "price": {"amount": 1, "currency": "KRW"}, "stock": 0, "no_shipping": true,
    });
    let request = Request::post("/v1/admin/products", &login.access, key, body);
    Invocation { f: "staff_write", pool: None, value: about(login), request }
}

/// Staff reads a user.
pub fn user(staff: &str, user: &str) -> Invocation {
    read("user", format!("/v1/admin/users/{user}"), json!({"user": user}), staff)
}

/// Staff changes a user, given the version that was seen; with a tool's token, or as an admin.
pub fn manage(staff: Result<&str, &Login>, user: &str, version: u64, change: Change) -> Invocation {
    let body = match change {
        Change::Role(role) => json!({"role": role}),
        Change::Blocked(blocked) => json!({"blocked": blocked}),
    };
    let mut value = body.clone();
    value["user"] = json!(user);
    value["version"] = json!(version);
    let token = match staff {
        Ok(token) => token,
        Err(admin) => {
            value["by"] = about(admin);
            &admin.access
        }
    };
    let request = Request::patch(format!("/v1/admin/users/{user}"), token, version, body);
    Invocation { f: "manage", pool: None, value, request }
}

/// Staff makes a token for a customer; its session is known by this name.
pub fn issue(staff: &str, user: &str, session: &str) -> Invocation {
    let body = json!({"user_id": user, "ttl_seconds": 600});
    let value = json!({"user": user, "session": session});
    with_token(public("issue", "/v1/admin/tokens", value, body), staff)
}

/// Asks for a new password by mail.
pub fn reset(email: &str) -> Invocation {
    let body = json!({"email": email});
    public("reset", "/v1/auth/password-resets", body.clone(), body)
}

/// Sets the next password, with the token from the mail.
pub fn set_password(user: &str, person: &Person, token: &str) -> Invocation {
    let next = person.password + 1;
    let value = json!({"user": user, "email": person.email, "password": next});
    let body = json!({"reset_token": token, "new_password": password(next)});
    public("set_password", "/v1/auth/password-resets/confirm", value, body)
}

fn about(login: &Login) -> Value {
    json!({"user": login.user, "session": login.session})
}

fn read(f: &'static str, path: String, value: Value, token: &str) -> Invocation {
    Invocation { f, pool: None, value, request: Request::get(path, token) }
}

fn with_token(mut invocation: Invocation, token: &str) -> Invocation {
    invocation.request.token = Some(token.to_owned());
    invocation
}

/// The part of an answer that counts; `None` if it is missing.
pub(super) fn answer(f: &str, body: &Value) -> Option<Value> {
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    Some(match f {
        "guess" => json!({"token": text("verification_token")?}),
        "sign_up" | "bootstrap" | "me" | "rename" => json!({"user": text("id")?}),
        "login" | "refresh" => {
            let refresh = text("refresh_token")?;
            json!({
                "user": text("user_id")?, "session": text("session_id")?, "refresh": refresh,
                "access": text("access_token")?, "generation": generation(refresh)?,
            })
        }
        "issue" => json!({"user": text("user_id")?, "access": text("access_token")?}),
        "user" | "manage" => {
            let version = body.get("version").and_then(Value::as_u64);
            json!({"role": text("role")?, "status": text("status")?, "version": version?})
        }
        _ => json!({}),
    })
}

/// The generation in `rft_<session>.<generation>.<mac>`.
fn generation(refresh: &str) -> Option<u64> {
    refresh.split('.').nth(1)?.parse().ok()
}
