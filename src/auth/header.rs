//! The `Authorization` header, read. Pure; looks nothing up.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use secrecy::SecretString;

use super::AuthError;

/// What a caller claims.
pub(super) enum Claim {
    Password { name: String, password: SecretString },
    Token(SecretString),
}

/// Bits after the last whole byte are nobody's business, as with Python's decoder; padding is.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// The order of checks is the reference's: the scheme, that there is one word after it, what the word holds.
pub(super) fn read(header: Option<&[u8]>) -> Result<Claim, AuthError> {
    let is_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
    let mut words = header.unwrap_or_default().split(is_space).filter(|word| !word.is_empty());
    let scheme = words.next().unwrap_or_default();
    let (value, further) = (words.next(), words.next());
    if scheme.eq_ignore_ascii_case(b"basic") {
        match (value, further) {
            (None, _) => Err(AuthError::BasicEmpty),
            (Some(_), Some(_)) => Err(AuthError::BasicSpaces),
            (Some(value), None) => password(value),
        }
    } else if scheme.eq_ignore_ascii_case(b"token") {
        match (value, further) {
            (None, _) => Err(AuthError::TokenEmpty),
            (Some(_), Some(_)) => Err(AuthError::TokenSpaces),
            (Some(value), None) => match std::str::from_utf8(value) {
                Ok(token) => Ok(Claim::Token(SecretString::from(token))),
                Err(_) => Err(AuthError::TokenCharacters),
            },
        }
    } else {
        Err(AuthError::NotProvided)
    }
}

fn password(value: &[u8]) -> Result<Claim, AuthError> {
    let bytes = BASE64.decode(value).map_err(|_| AuthError::BasicEncoding)?;
    let text = String::from_utf8(bytes).unwrap_or_else(|it| it.as_bytes().iter().copied().map(char::from).collect());
    match text.split_once(':') {
        Some((name, password)) => Ok(Claim::Password { name: name.to_owned(), password: SecretString::from(password) }),
        None => Err(AuthError::BasicColon),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn read_text(header: &[u8]) -> String {
        match read(Some(header)) {
            Ok(Claim::Password { name, password }) => format!("{name} / {}", password.expose_secret()),
            Ok(Claim::Token(token)) => format!("token {}", token.expose_secret()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn headers_are_read_as_the_reference_reads_them() {
        let not_provided = "Authentication credentials were not provided.";
        let table: [(&[u8], &str); 23] = [
            (b"", not_provided),
            (b"  ", not_provided),
            (b"Bearer b1a3d3b531cdde047d01ec8a27b92c267005b8b5", not_provided),
            (b"anVweXRlcmh1YjpqaHVicHc=", not_provided),
            (b"Basic anVweXRlcmh1YjpqaHVicHc=", "jupyterhub / jhubpw"),
            (b"basic anVweXRlcmh1YjpqaHVicHc=", "jupyterhub / jhubpw"),
            (b"BASIC \t anVweXRlcmh1YjpqaHVicHc= ", "jupyterhub / jhubpw"),
            (b"Basic", "Invalid basic header. No credentials provided."),
            (b"Basic ", "Invalid basic header. No credentials provided."),
            (b"Basic a b", "Invalid basic header. Credentials string should not contain spaces."),
            (b"Basic a b c", "Invalid basic header. Credentials string should not contain spaces."),
            (b"Basic abc", "Invalid basic header. Credentials not correctly base64 encoded."),
            (b"Basic \xff", "Invalid basic header. Credentials not correctly base64 encoded."),
            (b"Basic xxxx", "Invalid username/password."),
            (b"Basic //46eA==", "\u{ff}\u{fe} / x"),
            (b"Basic anVweXRlcmh1Yjr8", "jupyterhub / \u{fc}"),
            (b"Basic Og==", " / "),
            (b"Basic YTpiOmM=", "a / b:c"),
            (b"token 0000", "token 0000"),
            (b"TOKEN 0000", "token 0000"),
            (b"Token ", "Invalid token header. No credentials provided."),
            (b"token a b", "Invalid token header. Token string should not contain spaces."),
            (b"token \xfc", "Invalid token header. Token string should not contain invalid characters."),
        ];
        for (header, expected) in table {
            assert_eq!(read_text(header), expected, "{}", header.escape_ascii());
        }
        assert!(matches!(read(None), Err(AuthError::NotProvided)));
    }
}
