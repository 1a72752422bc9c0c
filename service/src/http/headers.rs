//! Reading headers that mean something to us.

use axum::http::header::IF_MATCH;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use saga_model::field::FieldCode;

use crate::problem::Problem;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The revision that a caller last saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revision(pub u64);

/// The idempotency key of a request, if it has one.
///
/// # Errors
/// 400 `INVALID_PARAMETER` if there are two, or it is not 1 to 255 visible ASCII characters.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = once(headers, &IDEMPOTENCY_KEY, "Idempotency-Key")? else { return Ok(None) };
    let bytes = value.as_bytes();
    if (1..=255).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic) {
        Ok(Some(bytes.iter().map(|byte| char::from(*byte)).collect()))
    } else {
        let detail = "write 1 to 255 visible ASCII characters";
        Err(Problem::parameter("Idempotency-Key", FieldCode::InvalidValue, detail))
    }
}

/// The revision that a request insists on (`If-Match: "4"`), if it does; `*` means any.
///
/// # Errors
/// 400 `INVALID_PARAMETER` if there are two, or it is neither a number in double quotes nor `*`. Leading zeros make it
/// none: entity tags are compared to the letter, and we give out no such.
pub fn if_match(headers: &HeaderMap) -> Result<Option<Revision>, Problem> {
    let Some(value) = once(headers, &IF_MATCH, "If-Match")? else { return Ok(None) };
    if value == "*" {
        return Ok(None);
    }
    let quoted = value.to_str().ok().and_then(|text| text.strip_prefix('"')?.strip_suffix('"'));
    let number =
        |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit()) && (*text == "0" || !text.starts_with('0'));
    let digits = quoted.filter(|text| !text.is_empty()).filter(number);
    match digits {
        // Too large a number is a revision that no saga has.
        Some(digits) => Ok(Some(Revision(digits.parse().unwrap_or(u64::MAX)))),
        None => {
            let detail = "write the revision in double quotes, such as \"4\"";
            Err(Problem::parameter("If-Match", FieldCode::InvalidValue, detail))
        }
    }
}

fn once<'a>(headers: &'a HeaderMap, name: &HeaderName, written: &str) -> Result<Option<&'a HeaderValue>, Problem> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(Problem::parameter(written, FieldCode::DuplicateKey, "the header may be there once")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Code;

    fn headers(name: &HeaderName, values: &[&[u8]]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_bytes(value).unwrap())).collect()
    }

    #[test]
    fn idempotency_keys() {
        let read = |values: &[&[u8]]| idempotency_key(&headers(&IDEMPOTENCY_KEY, values)).map_err(|p| p.code());
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[b"a-B_9!~,"]), Ok(Some("a-B_9!~,".to_owned())));
        assert_eq!(read(&[&[b'k'; 255]]), Ok(Some("k".repeat(255))));
        for bad in [&[b'k'; 256][..], b"", b"a b", b"a\tb", b"\xc3\xa9"] {
            assert_eq!(read(&[bad]), Err(Code::InvalidParameter), "{bad:?}");
        }
        assert_eq!(read(&[b"a", b"a"]), Err(Code::InvalidParameter));
    }

    #[test]
    fn revisions() {
        let read = |values: &[&[u8]]| if_match(&headers(&IF_MATCH, values)).map_err(|p| p.code());
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[b"*"]), Ok(None), "any revision of a saga that is there");
        assert_eq!(read(&[b"\"4\""]), Ok(Some(Revision(4))));
        assert_eq!(read(&[b"\"30\""]), Ok(Some(Revision(30))));
        assert_eq!(read(&[b"\"0\""]), Ok(Some(Revision(0))), "a revision that no saga has");
        assert_eq!(read(&[b"\"99999999999999999999999\""]), Ok(Some(Revision(u64::MAX))));
        for bad in
            [&b"4"[..], b"**", b"\"*\"", b"\"\"", b"\"", b"W/\"4\"", b"\"4\", \"5\"", b"\"-4\"", b"\"x\"", b"\"4"]
        {
            assert_eq!(read(&[bad]), Err(Code::InvalidParameter), "{bad:?}");
        }
        for bad in [&b"\"030\""[..], b"\"04\"", b"\"00\""] {
            assert_eq!(read(&[bad]), Err(Code::InvalidParameter), "another entity tag than \"30\": {bad:?}");
        }
        assert_eq!(read(&[b"\"4\"", b"\"4\""]), Err(Code::InvalidParameter));
    }
}
