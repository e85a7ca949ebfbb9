//! What mails say: a letter, and its text in two languages.
//!
//! The templates are text files: the subject, an empty line, paragraphs. The HTML part is made from
//! the same paragraphs, so that both parts always say the same.

use std::fmt;

use firstcome_domain::value::Language;
use serde::{Deserialize, Serialize};

use super::options::MailOptions;

/// A mail to be sent. As JSON it is at most 1.5 KiB for any address that an account can have.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Letter {
    pub(crate) recipient: String,
    pub(crate) language: Language,
    pub(crate) template: Template,
}

/// What a letter is about, with the values that it shows.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Template {
    /// The code that verifies the address for a sign-up.
    SignUpCode { code: String },
    /// Somebody wanted to sign up with the address of an account.
    AlreadyRegistered,
    /// The token that allows setting a new password.
    PasswordReset { token: String },
    /// The password was changed.
    PasswordChanged,
    /// An old refresh token was used, and its session was closed.
    SessionReuse,
}

impl Template {
    const fn name(&self) -> &'static str {
        match self {
            Self::SignUpCode { .. } => "sign_up_code",
            Self::AlreadyRegistered => "already_registered",
            Self::PasswordReset { .. } => "password_reset",
            Self::PasswordChanged => "password_changed",
            Self::SessionReuse => "session_reuse",
        }
    }

    const fn text(&self, language: Language) -> &'static str {
        match (self, language) {
            (Self::SignUpCode { .. }, Language::Korean) => {
                include_str!("templates/sign_up_code.ko.txt")
            }
            (Self::SignUpCode { .. }, Language::English) => {
                include_str!("templates/sign_up_code.en.txt")
            }
            (Self::AlreadyRegistered, Language::Korean) => {
                include_str!("templates/already_registered.ko.txt")
            }
            (Self::AlreadyRegistered, Language::English) => {
                include_str!("templates/already_registered.en.txt")
            }
            (Self::PasswordReset { .. }, Language::Korean) => {
                include_str!("templates/password_reset.ko.txt")
            }
            (Self::PasswordReset { .. }, Language::English) => {
                include_str!("templates/password_reset.en.txt")
            }
            (Self::PasswordChanged, Language::Korean) => {
                include_str!("templates/password_changed.ko.txt")
            }
            (Self::PasswordChanged, Language::English) => {
                include_str!("templates/password_changed.en.txt")
            }
            (Self::SessionReuse, Language::Korean) => {
                include_str!("templates/session_reuse.ko.txt")
            }
            (Self::SessionReuse, Language::English) => {
                include_str!("templates/session_reuse.en.txt")
            }
        }
    }
}

/// Neither the recipient nor a value is ever printed.
impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Letter({})", self.template.name())
    }
}

/// A letter in words.
pub(super) struct Rendered {
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) html: String,
}

const FRAME: &str = include_str!("templates/frame.html");

/// Puts a letter into words.
pub(super) fn render(letter: &Letter, options: &MailOptions) -> Rendered {
    let shop = options.shop_name.as_str();
    let (mut code, mut reset, mut link) = ("", "", None);
    match &letter.template {
        Template::SignUpCode { code: value } => code = value,
        Template::PasswordReset { token } => {
            link = options.reset_url.with(token);
            reset = link.as_deref().unwrap_or(token);
        }
        Template::AlreadyRegistered | Template::PasswordChanged | Template::SessionReuse => {}
    }
    let values = [("shop", shop), ("code", code), ("reset", reset)];
    let (subject, body) =
        letter.template.text(letter.language).split_once("\n\n").unwrap_or_default();
    let subject = fill(subject, &values);
    let paragraphs: Vec<String> = body
        .trim_end()
        .split("\n\n")
        .map(|paragraph| {
            let escaped = escape(&fill(paragraph, &values));
            match (paragraph, &link) {
                ("{reset}", Some(_)) => format!("<p><a href=\"{escaped}\">{escaped}</a></p>"),
                ("{reset}" | "{code}", _) => {
                    format!("<p style=\"font-size:24px;word-break:break-all\"><b>{escaped}</b></p>")
                }
                _ => format!("<p>{escaped}</p>"),
            }
        })
        .collect();
    let language = match letter.language {
        Language::Korean => "ko",
        Language::English => "en",
    };
    let title = escape(&subject);
    let html = fill(
        FRAME,
        &[("language", language), ("subject", &title), ("paragraphs", &paragraphs.join("\n"))],
    );
    Rendered { text: fill(body, &values), subject, html }
}

/// Replaces each `{name}` by its value, once: what a value contains stays as it is.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let found = values.iter().find_map(|(name, value)| {
            let after = after.strip_prefix(name)?.strip_prefix('}')?;
            Some((*value, after))
        });
        let (value, after) = found.unwrap_or(("{", after));
        filled.push_str(value);
        rest = after;
    }
    filled.push_str(rest);
    filled
}

/// Escapes text for HTML, also within an attribute.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> [Template; 5] {
        [
            Template::SignUpCode { code: "012345".to_owned() },
            Template::AlreadyRegistered,
            Template::PasswordReset { token: "T".repeat(43) },
            Template::PasswordChanged,
            Template::SessionReuse,
        ]
    }

    fn letter(language: Language, template: Template) -> Letter {
        Letter { recipient: "ann@example.org".to_owned(), language, template }
    }

    fn options() -> MailOptions {
        MailOptions {
            shop_name: "Lamps & <Co> {code}".parse().unwrap(),
            reset_url: "https://shop.example/reset/{token}?a&b".parse().unwrap(),
            ..MailOptions::default()
        }
    }

    #[test]
    fn every_letter_is_complete_in_both_languages_and_both_forms() {
        for template in all() {
            for language in [Language::Korean, Language::English] {
                let name = format!("{} {language:?}", template.name());
                let rendered = render(&letter(language, template.clone()), &options());
                assert!(rendered.subject.contains("Lamps & <Co> {code}"), "{name}");
                assert!(!rendered.subject.contains('\n'), "{name}");
                // The name of the shop is not a template, and the only one with braces.
                for part in [&rendered.subject, &rendered.text, &rendered.html] {
                    assert!(!part.replace(" {code}", "").contains(['{', '}']), "{name}: {part}");
                }
                assert!(rendered.html.contains("Lamps &amp; &lt;Co&gt;"), "{name}");
                assert!(!rendered.html.contains("<Co>"), "{name}");
                let paragraphs = rendered.text.trim_end().split("\n\n").count();
                assert_eq!(rendered.html.matches("<p").count(), paragraphs, "{name}");
                let is_korean =
                    rendered.text.chars().any(|c| ('\u{ac00}'..='\u{d7a3}').contains(&c));
                assert_eq!(is_korean, language == Language::Korean, "{name}");
                for remote in ["src=", "url(", "<img", "<script", "@import"] {
                    assert!(!rendered.html.contains(remote), "{name}: {remote}");
                }
            }
        }
    }

    #[test]
    fn codes_and_links_are_shown_but_not_in_the_subject() {
        for language in [Language::Korean, Language::English] {
            let [code, _, reset, ..] = all();
            let code = render(&letter(language, code), &options());
            assert!(code.text.contains("\n012345\n") && code.html.contains("<b>012345</b>"));
            assert!(!code.subject.contains("012345"));

            let url = format!("https://shop.example/reset/{}?a", "T".repeat(43));
            let linked = render(&letter(language, reset.clone()), &options());
            assert!(linked.text.contains(&format!("\n{url}&b\n")), "{}", linked.text);
            assert!(linked.html.contains(&format!("<a href=\"{url}&amp;b\">")), "{}", linked.html);
            let bare = render(&letter(language, reset), &MailOptions::default());
            assert!(bare.text.contains(&format!("\n{}\n", "T".repeat(43))), "{}", bare.text);
            assert!(!bare.html.contains("href"), "{}", bare.html);
        }
    }

    #[test]
    fn values_cannot_become_markup_or_templates() {
        let values = [("a", "{b}<i>"), ("b", "x")];
        assert_eq!(fill("{a} {b} {c} {", &values), "{b}<i> x {c} {");
        assert_eq!(escape("<a href=\"x\">'&"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;");
    }

    #[test]
    fn letters_survive_json_and_stay_small() {
        for recipient in ["\u{1f4ee}".repeat(254), "\"\\".repeat(127)] {
            for template in all() {
                let letter =
                    Letter { recipient: recipient.clone(), language: Language::Korean, template };
                let json = serde_json::to_vec(&letter).unwrap();
                assert!(json.len() <= 1536, "{} bytes", json.len());
                assert_eq!(serde_json::from_slice::<Letter>(&json).unwrap(), letter);
            }
        }
        // It is stored, so its form is fixed.
        let stored = "{\"recipient\":\"a@b\",\"language\":\"en\",\
                      \"template\":{\"sign_up_code\":{\"code\":\"012345\"}}}";
        let [code, ..] = all();
        let letter =
            Letter { recipient: "a@b".to_owned(), language: Language::English, template: code };
        assert_eq!(serde_json::to_string(&letter).unwrap(), stored);
    }

    #[test]
    fn a_printed_letter_shows_nothing_of_it() {
        let [code, ..] = all();
        assert_eq!(format!("{:?}", letter(Language::English, code)), "Letter(sign_up_code)");
    }
}
