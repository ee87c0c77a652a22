//! Between HTTP and the types: bodies are JSON whatever their content type says, and so is every refusal.

use axum::{
    body::Bytes,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde::{Serialize, de::DeserializeOwned};

use super::types::{Refusal, RefusalKind};

/// An answer: a value as JSON, or a refusal.
pub type Answer<T> = Result<Reply<T>, Refusal>;

/// A value on its way out.
pub struct Reply<T>(pub T);

/// What is answered when there is nothing to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Done {}

/// Reads a request's body.
pub fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        Refusal::malformed(format!("the request's body is not understood: {error}")).hint("send a JSON object")
    })
}

impl<T: Serialize> IntoResponse for Reply<T> {
    fn into_response(self) -> Response {
        respond(StatusCode::OK, &self.0)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        respond(status(self.kind), &self)
    }
}

/// The HTTP status of a refusal.
pub fn status(kind: RefusalKind) -> StatusCode {
    match kind {
        RefusalKind::Malformed => StatusCode::BAD_REQUEST,
        RefusalKind::Missing => StatusCode::NOT_FOUND,
        RefusalKind::Refused => StatusCode::CONFLICT,
        RefusalKind::Broken => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The refusal's kind, from its HTTP status.
pub fn kind(status: StatusCode) -> RefusalKind {
    match status {
        StatusCode::NOT_FOUND => RefusalKind::Missing,
        StatusCode::CONFLICT => RefusalKind::Refused,
        status if status.is_client_error() => RefusalKind::Malformed,
        _ => RefusalKind::Broken,
    }
}

fn respond(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => (status, [(CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::types::AddRule;

    #[test]
    fn a_kind_survives_the_way_over_http() {
        for each in [RefusalKind::Malformed, RefusalKind::Missing, RefusalKind::Refused, RefusalKind::Broken] {
            assert_eq!(kind(status(each)), each);
        }
    }

    #[test]
    fn a_body_that_is_not_understood_is_refused_with_the_place() {
        let refusal = read::<AddRule>(&Bytes::from_static(b"{\"rule\": \"allow tcp/80\", \"befor\": 3}")).unwrap_err();

        assert_eq!(refusal.kind, RefusalKind::Malformed);
        assert!(refusal.error.contains("unknown field `befor`"), "{}", refusal.error);
        assert!(refusal.error.contains("column"), "{}", refusal.error);
    }
}
