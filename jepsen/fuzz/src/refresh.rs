//! Refresh tokens.

use firstcome_api::fuzz;

use crate::Reached;

/// A token: what is accepted is what the key made, letter by letter, and counts for one session and
/// one generation.
pub fn refresh_token(data: &[u8]) -> Reached {
    let Ok(text) = std::str::from_utf8(data) else { return Reached::Refused };
    let Some((session, generation)) = fuzz::read_refresh_token(text) else {
        return Reached::Refused;
    };
    assert_eq!(fuzz::refresh_token(&session, generation), text);
    let tag = text.rsplit_once('.').expect("a token has three parts").1;
    let id = session.strip_prefix("ses_").expect("an id of a session");
    let next = format!("rft_{id}.{}.{tag}", u64::from(generation) + 1);
    assert_eq!(fuzz::read_refresh_token(&next), None);
    Reached::Accepted
}
