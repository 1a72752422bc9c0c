//! `/definitions`: what can be started.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use saga_model::view::DefinitionView;
use serde::Serialize;
use service::http::no_query;
use service::problem::{Code, Problem};

use super::Api;
use super::answer::Answer;
use super::path::PathName;

/// `GET /definitions`
pub async fn list(State(api): State<Arc<Api>>, uri: Uri) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct All<'a> {
        definitions: Vec<DefinitionView<'a>>,
    }
    no_query(&uri)?;
    let active = api.engine.definitions().all_active();
    let definitions = active.iter().map(|definition| DefinitionView::of(definition)).collect();
    Ok(Answer::of(StatusCode::OK, &All { definitions })?.done())
}

/// `GET /definitions/{name}`
pub async fn read(State(api): State<Arc<Api>>, PathName(name): PathName, uri: Uri) -> Result<Response, Problem> {
    no_query(&uri)?;
    let (_, definition) = api.engine.definitions().active(&name).ok_or_else(|| unknown(&name))?;
    Ok(Answer::of(StatusCode::OK, &DefinitionView::of(&definition))?.done())
}

/// No definition has this name.
pub fn unknown(name: &str) -> Problem {
    Problem::new(Code::DefinitionNotFound, format!("There is no definition {name:?}; GET /definitions lists them"))
}
