use super::*;

fn query(text: &str) -> Query {
    Query::of(&format!("/x?{text}").parse().unwrap())
}

/// What `finish` says is wrong: (parameter, code).
fn wrong(query: Query) -> Vec<(String, String)> {
    let problem = query.finish(|| Some(())).unwrap_err();
    let document: serde_json::Value = serde_json::from_slice(&problem.to_json()).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let errors = document["errors"].as_array().unwrap();
    errors.iter().map(|error| (text(&error["parameter"]), text(&error["code"]))).collect()
}

#[test]
fn takes_what_is_right() {
    let mut query = query("a=1&b=x%20y+z%2B&s=A&s=B&id=AAAAAAAA-aaaa-AAAA-aaaa-aaaaaaaaaaaa&");
    assert_eq!(query.number("a", 0..=9u64), Some(1));
    assert_eq!(query.text("b").as_deref(), Some("x y z+"));
    assert_eq!(query.repeated("s", |s| Ok::<_, String>(s.to_owned())), ["A", "B"]);
    assert_eq!(query.required_uuid("id").unwrap().to_string(), "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa");
    assert_eq!(query.text("absent"), None);
    assert_eq!(query.finish(|| Some(7)), Ok(7));
}

#[test]
fn says_all_that_is_wrong_at_once() {
    let mut query = query("size=0&page=1&page=2&who=me&id=1&name=%ff&nul=%00&empty=&%fe=1&s=A&s=%00");
    let _ = query.required_uuid("userId");
    let _ = query.number("size", 1..=100u32);
    let _ = query.number("page", 0..=9u32);
    let _ = query.uuid("id");
    let _ = query.text("name");
    let _ = query.text("nul");
    let _ = query.text("empty");
    let _ = query.repeated("s", |s| Ok::<_, String>(s.to_owned()));
    let expected = [
        ("userId", "REQUIRED"),
        ("size", "INVALID_VALUE"),
        ("page", "DUPLICATE_KEY"),
        ("id", "INVALID_UUID"),
        ("name", "INVALID_VALUE"),
        ("nul", "INVALID_VALUE"),
        ("empty", "INVALID_VALUE"),
        ("s", "INVALID_VALUE"),
        ("%fe", "UNKNOWN_FIELD"),
        ("who", "UNKNOWN_FIELD"),
    ];
    assert_eq!(wrong(query), expected.map(|(name, code)| (name.to_owned(), code.to_owned())));
}

#[test]
fn numbers_are_digits_in_a_range() {
    for text in ["", "-1", "+1", "1.0", "1e1", " 1", "101", "99999999999999999999999", "x"] {
        let mut query = query(&format!("n={}", text.replace('+', "%2B").replace(' ', "%20")));
        assert_eq!(query.number("n", 1..=100u32), None, "{text}");
        assert_eq!(wrong(query), [("n".to_owned(), "INVALID_VALUE".to_owned())]);
    }
}

#[test]
fn a_route_without_parameters_has_none() {
    assert!(no_query(&"/x".parse().unwrap()).is_ok());
    assert!(no_query(&"/x?".parse().unwrap()).is_ok());
    assert_eq!(
        wrong(query("=1&a")),
        [("", "UNKNOWN_FIELD"), ("a", "UNKNOWN_FIELD")].map(|(n, c)| (n.into(), c.into()))
    );
}
