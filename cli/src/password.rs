//! Passwords, from a file, from standard input, or from a terminal without an echo. Never from an
//! argument: other users of the machine can see those.

use std::io::{IsTerminal as _, Read};
use std::path::Path;

use anyhow::Context as _;

use crate::exit::{Exit, Stop};

/// Longer than any password that a node takes.
const BYTES_MAX: u64 = 4096;

/// Reads a password: from `file` (`-` is standard input) or, without one, from the terminal if there
/// is one, and from standard input otherwise. `is_new` asks for it twice on a terminal.
pub(crate) fn read(file: Option<&Path>, is_new: bool) -> anyhow::Result<String> {
    let password = match file {
        Some(path) if path != Path::new("-") => {
            let open = std::fs::File::open(path);
            let open =
                open.and_then(from).with_context(|| format!("cannot read {}", path.display()));
            open?
        }
        None if std::io::stdin().is_terminal() => ask(is_new)?,
        _ => from(std::io::stdin()).context("cannot read the password from standard input")?,
    };
    if password.is_empty() {
        return Err(usage("the password is empty: type it, or use --password-file FILE"));
    }
    Ok(password)
}

fn usage(message: &str) -> anyhow::Error {
    Stop::new(Exit::Usage, message).into()
}

fn ask(is_new: bool) -> anyhow::Result<String> {
    let cannot_ask = "cannot read the password from the terminal";
    let password = rpassword::prompt_password("Password: ").context(cannot_ask)?;
    if is_new {
        let again = rpassword::prompt_password("The same again: ").context(cannot_ask)?;
        if again != password {
            return Err(usage("the two passwords differ"));
        }
    }
    Ok(password)
}

/// All of it, but for the end of the last line.
fn from(source: impl Read) -> std::io::Result<String> {
    let mut text = String::new();
    source.take(BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > BYTES_MAX {
        return Err(std::io::Error::other("longer than any password"));
    }
    let line = text.strip_suffix('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    Ok(line.map_or_else(|| text.clone(), ToOwned::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_the_last_line_is_no_part_of_a_password() {
        for (text, password) in [
            ("a b", "a b"),
            (" ab \n", " ab "),
            ("ab\r\n", "ab"),
            ("ab\r", "ab\r"),
            ("a\nb\n\n", "a\nb\n"),
        ] {
            assert_eq!(from(text.as_bytes()).unwrap(), password, "{text:?}");
        }
        assert!(from(&[b'x'; 5000][..]).is_err());
        assert!(from(&[0xff][..]).is_err());
    }
}
