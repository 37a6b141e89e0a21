//! One line to a typed [`Command`] (RFC 1939 sections 4 to 7, RFC 2449 section 3).

/// Secret bytes; they do not print.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Vec<u8>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// A command. Numbers of messages are as they came, 0 included.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Command {
    User(String),
    Pass(Secret),
    /// Without a mechanism the client asks which there are.
    Auth {
        mechanism: Option<String>,
        initial: Option<Secret>,
    },
    Capa,
    Stls,
    Utf8,
    Stat,
    List(Option<u32>),
    Uidl(Option<u32>),
    Retr(u32),
    Top {
        number: u32,
        lines: u64,
    },
    Dele(u32),
    Noop,
    Rset,
    Quit,
}

/// Why a line is no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Bad {
    /// Another word, or none.
    #[error("Unrecognized command")]
    Unknown,
    /// APOP (RFC 1939 section 7).
    #[error("APOP is not supported")]
    Apop,
    /// An argument is missing.
    #[error("Missing argument")]
    Missing,
    /// More than the command takes.
    #[error("Unexpected argument")]
    Extra,
    /// It was thrown away.
    #[error("Line too long")]
    Long,
    /// Not a number of a message, or of lines.
    #[error("Invalid number")]
    Number,
    /// A name that is not UTF-8, or that holds a control character.
    #[error("Invalid name")]
    Name,
}

/// Reads a line.
///
/// # Errors
/// [`Bad`], to be sent as `-ERR reason`.
pub fn parse(line: &[u8]) -> Result<Command, Bad> {
    let end = memchr::memchr(b' ', line).unwrap_or(line.len());
    let (word, rest) = line.split_at(end);
    // One blank divides; what is behind it belongs to the argument.
    let argument = rest.get(1..).filter(|argument| !argument.is_empty());
    let word = word.to_ascii_uppercase();
    let alone = |command| if argument.is_some() { Err(Bad::Extra) } else { Ok(command) };
    match word.as_slice() {
        b"USER" => Ok(Command::User(name(argument.ok_or(Bad::Missing)?)?)),
        // The only argument, so blanks may be part of it (RFC 1939 section 7). An empty one is a wrong password like others.
        b"PASS" if rest.is_empty() => Err(Bad::Missing),
        b"PASS" => Ok(Command::Pass(Secret(argument.unwrap_or_default().to_vec()))),
        b"APOP" => Err(Bad::Apop),
        b"AUTH" => auth(argument),
        b"CAPA" => alone(Command::Capa),
        b"STLS" => alone(Command::Stls),
        b"UTF8" => alone(Command::Utf8),
        b"NOOP" => alone(Command::Noop),
        b"RSET" => alone(Command::Rset),
        b"QUIT" => alone(Command::Quit),
        b"STAT" => alone(Command::Stat),
        b"LIST" => Ok(Command::List(words(argument)?.one_at_most()?)),
        b"UIDL" => Ok(Command::Uidl(words(argument)?.one_at_most()?)),
        b"RETR" => Ok(Command::Retr(words(argument)?.one()?)),
        b"DELE" => Ok(Command::Dele(words(argument)?.one()?)),
        b"TOP" => {
            let Numbers(first, second) = words(argument)?;
            let (number, lines) = (first.ok_or(Bad::Missing)?, second.ok_or(Bad::Missing)?);
            Ok(Command::Top { number: u32::try_from(number).map_err(|_| Bad::Number)?, lines })
        }
        _ => Err(Bad::Unknown),
    }
}

/// `AUTH [mechanism [initial-response]]` (RFC 5034 section 4).
fn auth(argument: Option<&[u8]>) -> Result<Command, Bad> {
    let mut words = argument.unwrap_or_default().split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let mechanism = words.next().map(name).transpose()?;
    let initial = words.next().map(|response| Secret(response.to_vec()));
    if words.next().is_some() { Err(Bad::Extra) } else { Ok(Command::Auth { mechanism, initial }) }
}

fn name(bytes: &[u8]) -> Result<String, Bad> {
    let text = std::str::from_utf8(bytes).map_err(|_| Bad::Name)?;
    if text.chars().any(char::is_control) { Err(Bad::Name) } else { Ok(text.to_owned()) }
}

/// At most two numbers.
struct Numbers(Option<u64>, Option<u64>);

impl Numbers {
    fn one_at_most(self) -> Result<Option<u32>, Bad> {
        match self {
            Numbers(_, Some(_)) => Err(Bad::Extra),
            Numbers(first, None) => first.map(|number| u32::try_from(number).map_err(|_| Bad::Number)).transpose(),
        }
    }

    fn one(self) -> Result<u32, Bad> {
        self.one_at_most()?.ok_or(Bad::Missing)
    }
}

fn words(argument: Option<&[u8]>) -> Result<Numbers, Bad> {
    let mut words = argument.unwrap_or_default().split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let mut next = || words.next().map(number).transpose();
    let numbers = Numbers(next()?, next()?);
    if words.next().is_some() { Err(Bad::Extra) } else { Ok(numbers) }
}

fn number(word: &[u8]) -> Result<u64, Bad> {
    let digits = std::str::from_utf8(word).ok().filter(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok()).ok_or(Bad::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(line: &str) -> Command {
        parse(line.as_bytes()).unwrap()
    }

    #[test]
    fn commands_in_any_case() {
        assert_eq!([ok("Quit"), ok("capa"), ok("STLS")], [Command::Quit, Command::Capa, Command::Stls]);
        assert_eq!(ok("USER joe@example.org"), Command::User("joe@example.org".into()));
        assert_eq!(ok("user J\u{f6}rg M"), Command::User("J\u{f6}rg M".into()));
        assert_eq!(ok("PASS  with  blanks "), Command::Pass(Secret(b" with  blanks ".to_vec())));
        assert_eq!(ok("pass "), Command::Pass(Secret(Vec::new())));
        assert_eq!(ok("LIST"), Command::List(None));
        assert_eq!(ok("LIST 7 "), Command::List(Some(7)));
        assert_eq!(ok("uidl  4294967295"), Command::Uidl(Some(u32::MAX)));
        assert_eq!(ok("RETR 0"), Command::Retr(0));
        assert_eq!(ok("TOP 1 0"), Command::Top { number: 1, lines: 0 });
        let auth = |mechanism: Option<&str>, initial: Option<&str>| Command::Auth {
            mechanism: mechanism.map(str::to_owned),
            initial: initial.map(|text| Secret(text.as_bytes().to_vec())),
        };
        assert_eq!(ok("AUTH"), auth(None, None));
        assert_eq!(ok("AUTH plain"), auth(Some("plain"), None));
        assert_eq!(ok("AUTH PLAIN ="), auth(Some("PLAIN"), Some("=")));
        assert_eq!(format!("{:?}", ok("PASS hidden")), "Pass(Secret)");
    }

    #[test]
    fn what_is_no_command() {
        for (line, bad) in [
            ("", Bad::Unknown),
            (" USER joe", Bad::Unknown),
            ("XTND XMIT", Bad::Unknown),
            ("APOP joe c4c9334bac560ecc979e58001b3e22fb", Bad::Apop),
            ("USER", Bad::Missing),
            ("USER ", Bad::Missing),
            ("USER a\0b", Bad::Name),
            ("PASS", Bad::Missing),
            ("RETR", Bad::Missing),
            ("RETR 1 2", Bad::Extra),
            ("RETR -1", Bad::Number),
            ("RETR +1", Bad::Number),
            ("DELE 4294967296", Bad::Number),
            ("DELE 99999999999999999999", Bad::Number),
            ("DELE one", Bad::Number),
            ("TOP 1", Bad::Missing),
            ("TOP 1 2 3", Bad::Extra),
            ("STAT 1", Bad::Extra),
            ("AUTH PLAIN a b", Bad::Extra),
        ] {
            assert_eq!(parse(line.as_bytes()), Err(bad), "{line}");
        }
        assert_eq!(parse(b"USER \xff"), Err(Bad::Name));
    }
}
