use super::*;

fn keys(list: &str, open: &str) -> ApiKeys {
    ApiKeys::new(list.parse().unwrap(), open.parse().unwrap())
}

fn headers(values: &[&[u8]]) -> HeaderMap {
    values.iter().map(|value| (AUTHORIZATION, HeaderValue::from_bytes(value).unwrap())).collect()
}

fn caller(keys: &ApiKeys, value: &[u8]) -> Result<Caller, Code> {
    keys.authenticate(&headers(&[value])).map_err(|problem| problem.code())
}

#[test]
fn a_key_has_its_scopes_and_the_open_ones() {
    let keys = keys("ops:s1:admin, shop:s2:submit,eye:s3:read", "read");
    let named = |name: &str, secret: &str, may: [bool; 3]| {
        let caller = caller(&keys, format!("Bearer {secret}").as_bytes()).unwrap();
        assert_eq!((caller.name(), caller.actor()), (Some(name), format!("key:{name}")));
        assert_eq!([Scope::Submit, Scope::Read, Scope::Admin].map(|scope| caller.may(scope)), may, "{name}");
        caller
    };
    named("ops", "s1", [true, true, true]);
    let shop = named("shop", "s2", [true, true, false]);
    let eye = named("eye", "s3", [false, true, false]);
    assert_eq!(shop.require(Scope::Admin).unwrap_err().code(), Code::Forbidden);
    assert_eq!(eye.require(Scope::Submit).unwrap_err().code(), Code::Forbidden);

    let nobody = keys.authenticate(&HeaderMap::new()).unwrap();
    assert_eq!((nobody.name(), nobody.actor().as_str()), (None, "key:anonymous"));
    assert!(nobody.require(Scope::Read).is_ok());
    assert_eq!(nobody.require(Scope::Submit).unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(nobody.require(Scope::Admin).unwrap_err().code(), Code::Unauthenticated);
}

#[test]
fn what_is_sent_and_unknown_is_refused() {
    let keys = keys("ops:s1:admin", "submit,read");
    for value in [
        &b"Bearer s2"[..],
        b"Bearer s",
        b"Bearer s11",
        b"Bearer ",
        b"Bearer",
        b"",
        b"Basic czE=",
        b"s1",
        b"Bearer \xff\xfe",
    ] {
        assert_eq!(caller(&keys, value), Err(Code::Unauthenticated), "{value:?}");
    }
    for value in [&b"bearer s1"[..], b"BEARER s1", b"Bearer  s1 "] {
        assert_eq!(caller(&keys, value).unwrap().name(), Some("ops"), "{value:?}");
    }
    let twice = keys.authenticate(&headers(&[b"Bearer s1", b"Bearer s1"])).unwrap_err();
    assert_eq!(twice.code(), Code::InvalidParameter);
}

#[test]
fn a_key_may_be_added() {
    let mut keys = keys("ops:s1:read", "");
    assert!(keys.add("dev", Secret::new("s2"), Scopes::ADMIN).is_ok());
    assert!(caller(&keys, b"Bearer s2").unwrap().may(Scope::Admin));
    assert_eq!(keys.add("dev", Secret::new("s3"), Scopes::ADMIN), Err(InvalidKeys::SameName("dev".to_owned())));
    assert_eq!(keys.add("eve", Secret::new("s1"), Scopes::ADMIN), Err(InvalidKeys::SameSecret("eve".to_owned())));
}

#[test]
fn malformed_lists() {
    let error = |list: &str| list.parse::<KeyList>().unwrap_err();
    for (list, expected) in [
        ("ops", InvalidKeys::Form(1)),
        ("ops:s1", InvalidKeys::Form(1)),
        ("ops:s1:read:more", InvalidKeys::Form(1)),
        ("ops:s1:read,", InvalidKeys::Form(2)),
        (":s1:read", InvalidKeys::Name(1)),
        ("o ps:s1:read", InvalidKeys::Name(1)),
        ("anonymous:s1:read", InvalidKeys::Name(1)),
        ("ops::read", InvalidKeys::Secret("ops".to_owned())),
        ("ops:sé:read", InvalidKeys::Secret("ops".to_owned())),
        ("a:s1:read,a:s2:read", InvalidKeys::SameName("a".to_owned())),
        ("a:s1:read,b:s1:read", InvalidKeys::SameSecret("b".to_owned())),
    ] {
        assert_eq!(error(list), expected, "{list}");
    }
    for list in ["ops:s1:", "ops:s1:write", "ops:s1:read+", "ops:s1:Read", "ops:s1:read submit"] {
        assert!(matches!(error(list), InvalidKeys::Scopes(..)), "{list}");
    }
}

#[test]
fn admin_is_never_open() {
    assert_eq!("read,admin".parse::<OpenScopes>(), Err(InvalidScopes::AdminIsOpen));
    assert_eq!("".parse::<OpenScopes>().unwrap().scopes(), Scopes::NONE);
    assert!("submit, read".parse::<OpenScopes>().unwrap().scopes().contains(Scope::Submit));
}
