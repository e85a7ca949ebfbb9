//! Accounts that cannot fail: every request is served in one step, and counts from then on.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use firstcome_jepsen::record::http::Response;
use firstcome_jepsen::record::invocation::Invocation;
use serde_json::{Value, json};

use crate::shop::{refusal, response};

/// How long the token before the last one counts.
const GRACE_MS: u64 = 30_000;
const TRIES: u32 = 5;

#[derive(Clone)]
struct User {
    email: String,
    password: String,
    role: String,
    blocked: bool,
    version: u64,
}

impl User {
    fn is_admin(&self) -> bool {
        self.role == "admin" && !self.blocked
    }
}

struct Session {
    user: String,
    generation: u64,
    renewed_ms: u64,
}

#[derive(Default)]
struct Code {
    digits: String,
    tries: u32,
    proof: Option<String>,
}

/// Everybody, and where their mail goes.
#[derive(Default)]
pub(crate) struct People {
    folder: PathBuf,
    users: BTreeMap<String, User>,
    sessions: BTreeMap<String, Session>,
    codes: BTreeMap<String, Code>,
    /// The user of each reset token.
    resets: BTreeMap<String, String>,
    minted: u64,
}

/// What is answered, or by which rule it is refused.
type Answer = Result<(u16, Value), &'static str>;

impl People {
    pub(crate) fn mailing_to(folder: PathBuf) -> Self {
        Self { folder, ..Self::default() }
    }

    pub(crate) fn serve(&mut self, asked: &Invocation, revision: u64, now_ms: u64) -> Response {
        match self.decide(asked, now_ms) {
            Ok((204, _)) => Response { body: None, ..response(204, revision, false, Value::Null) },
            Ok((status, body)) => response(status, revision, false, body),
            Err(code) => refusal(code, revision),
        }
    }

    fn mint(&mut self, kind: &str) -> String {
        self.minted += 1;
        format!("{kind}_{}", self.minted)
    }

    fn mail(&mut self, to: &str, text: &str) {
        let name = self.mint("eff");
        fs::create_dir_all(&self.folder).unwrap();
        let path = self.folder.join(format!("{name}.eml"));
        fs::write(path, format!("To: {to}\r\n\r\n{text}\r\n")).unwrap();
    }

    fn find(&self, email: &str) -> Option<String> {
        let mut users = self.users.iter();
        users.find(|(_, user)| user.email == email).map(|(id, _)| id.clone())
    }

    /// Whose access token `acc.<session>.<user>` it is.
    fn caller(&self, token: Option<&str>) -> Result<String, &'static str> {
        let parts = token.and_then(|token| token.strip_prefix("acc.")?.split_once('.'));
        let (session, user) = parts.ok_or("token_invalid")?;
        if self.users.get(user).is_some_and(|user| user.blocked) {
            return Err("user_blocked");
        }
        if self.sessions.contains_key(session) { Ok(user.to_owned()) } else { Err("token_revoked") }
    }

    fn decide(&mut self, asked: &Invocation, now_ms: u64) -> Answer {
        let nothing = json!({});
        let body = asked.request.body.as_ref().unwrap_or(&nothing);
        let text = |name: &str| body[name].as_str().unwrap_or_default();
        let token = asked.request.token.as_deref();
        match asked.f {
            "verify" => {
                self.minted += 1;
                let digits = format!("{:06}", self.minted * 7_919 % 1_000_000);
                self.mail(text("email"), &digits);
                self.codes.insert(text("email").to_owned(), Code { digits, ..Code::default() });
                Ok((202, json!({})))
            }
            "guess" => self.guess(text("email"), text("code")),
            "sign_up" => {
                let code = self.codes.get(text("email"));
                let proof = code.and_then(|code| code.proof.as_deref());
                if proof != Some(text("verification_token")) {
                    return Err("email_unverified");
                }
                self.codes.remove(text("email"));
                Ok(self.create(body, "customer"))
            }
            "bootstrap" if self.users.values().any(User::is_admin) => Err("admin_exists"),
            "bootstrap" => Ok(self.create(body, "admin")),
            "login" => {
                let id = self.find(text("email")).ok_or("login_refused")?;
                let user = &self.users[&id];
                if user.blocked || user.password != text("password") {
                    return Err("login_refused");
                }
                let session = self.open(&id);
                Ok(self.tokens(&session))
            }
            "refresh" => self.refresh(text("refresh_token"), now_ms),
            "logout" => {
                let session = token.and_then(|token| token.split('.').nth(1));
                self.sessions.remove(session.unwrap_or_default());
                Ok((204, Value::Null))
            }
            "me" => Ok((200, json!({"id": self.caller(token)?}))),
            "rename" => {
                let id = self.caller(token)?;
                self.users.get_mut(&id).unwrap().version += 1;
                Ok((200, json!({"id": id})))
            }
            "staff_read" | "staff_write" => {
                let id = self.caller(token)?;
                let is_staff = self.users[&id].role != "customer";
                if is_staff { Ok((200, json!({}))) } else { Err("permission_denied") }
            }
            "user" => Ok(self.shown(asked.value["user"].as_str().unwrap())),
            "manage" => self.manage(&asked.value, token),
            "issue" => {
                let user = text("user_id").to_owned();
                let session = self.open(&user);
                let access = format!("acc.{session}.{user}");
                Ok((201, json!({"user_id": user, "access_token": access})))
            }
            "reset" => {
                if let Some(id) = self.find(text("email")) {
                    let token = self.mint("rst");
                    self.mail(text("email"), &token);
                    self.resets.insert(token, id);
                }
                Ok((202, json!({})))
            }
            "set_password" => {
                let id = self.resets.remove(text("reset_token")).ok_or("code_invalid")?;
                self.sessions.retain(|_, session| session.user != id);
                text("new_password").clone_into(&mut self.users.get_mut(&id).unwrap().password);
                Ok((204, Value::Null))
            }
            other => panic!("nobody knows {other}"),
        }
    }

    fn guess(&mut self, email: &str, typed: &str) -> Answer {
        let token = self.mint("tok");
        let code = self.codes.get_mut(email);
        let code = code.filter(|code| code.tries < TRIES && code.proof.is_none());
        let code = code.ok_or("code_invalid")?;
        if code.digits != typed {
            code.tries += 1;
            return Err("code_invalid");
        }
        code.proof = Some(token.clone());
        Ok((200, json!({"verification_token": token})))
    }

    fn create(&mut self, body: &Value, role: &str) -> (u16, Value) {
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        let id = self.mint("usr");
        let (email, password) = (text("email"), text("password"));
        let user = User { email, password, role: role.to_owned(), blocked: false, version: 1 };
        self.users.insert(id.clone(), user);
        (201, json!({"id": id}))
    }

    fn open(&mut self, user: &str) -> String {
        let session = self.mint("ses");
        let row = Session { user: user.to_owned(), generation: 0, renewed_ms: 0 };
        self.sessions.insert(session.clone(), row);
        session
    }

    fn tokens(&self, id: &str) -> (u16, Value) {
        let Session { user, generation, .. } = &self.sessions[id];
        let body = json!({
            "user_id": user, "session_id": id, "access_token": format!("acc.{id}.{user}"),
            "refresh_token": format!("rft_{id}.{generation}.mac"),
        });
        (200, body)
    }

    fn refresh(&mut self, token: &str, now_ms: u64) -> Answer {
        let mut parts = token.strip_prefix("rft_").unwrap().split('.');
        let id = parts.next().unwrap();
        let generation: u64 = parts.next().unwrap().parse().unwrap();
        let session = self.sessions.get_mut(id).ok_or("token_revoked")?;
        if generation == session.generation {
            (session.generation, session.renewed_ms) = (generation + 1, now_ms);
        } else if generation + 1 < session.generation || now_ms >= session.renewed_ms + GRACE_MS {
            self.sessions.remove(id);
            return Err("session_reuse");
        }
        Ok(self.tokens(id))
    }

    fn shown(&self, id: &str) -> (u16, Value) {
        let User { role, blocked, version, .. } = &self.users[id];
        let status = if *blocked { "blocked" } else { "active" };
        (200, json!({"role": role, "status": status, "version": version}))
    }

    fn manage(&mut self, asked: &Value, token: Option<&str>) -> Answer {
        if token != Some("staff") && !self.users[&self.caller(token)?].is_admin() {
            return Err("permission_denied");
        }
        let id = asked["user"].as_str().unwrap();
        let mut user = self.users[id].clone();
        if asked["version"] != user.version {
            return Err("version_mismatch");
        }
        let was_admin = user.is_admin();
        if let Some(role) = asked["role"].as_str() {
            role.clone_into(&mut user.role);
        }
        user.blocked = asked["blocked"].as_bool().unwrap_or(user.blocked);
        let admins = self.users.values().filter(|user| user.is_admin()).count();
        if was_admin && !user.is_admin() && admins < 2 {
            return Err("last_admin");
        }
        if user.blocked {
            self.sessions.retain(|_, session| session.user != id);
        }
        user.version += 1;
        self.users.insert(id.to_owned(), user);
        Ok(self.shown(id))
    }
}
