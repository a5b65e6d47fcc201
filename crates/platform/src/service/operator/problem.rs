//! The one table from what went wrong to what operators and programs read.

use narrowgate_api::problem::{Code, Problem};

use crate::{
    ports::{FaultKind, NotHashed, StoreError},
    rules::commands::NotSent,
    service::error::ServiceError,
};

/// The problem of a verb, whose headline says what was tried.
pub(super) fn of(title: &str, error: &ServiceError) -> Problem {
    let (status, code) = match error {
        ServiceError::Model { .. } => (422, Code::ModelInvalid),
        ServiceError::ModelMoved { .. } => (412, Code::PreconditionFailed),
        ServiceError::Invalid { .. } | ServiceError::Value { .. } | ServiceError::Property { .. } => {
            (422, Code::Invalid)
        }
        ServiceError::Missing { .. } => (404, Code::Missing),
        ServiceError::Exists { .. } => (409, Code::Exists),
        ServiceError::Ambiguous { .. } => (409, Code::Ambiguous),
        ServiceError::NotEmpty { .. } => (409, Code::NotEmpty),
        ServiceError::Script { .. } => (422, Code::ScriptInvalid),
        ServiceError::NotRun { fault } if fault.kind == FaultKind::Busy => (503, Code::Busy),
        ServiceError::NotRun { .. } => (503, Code::Unavailable),
        ServiceError::NotHashed(NotHashed::Busy) => (429, Code::Busy),
        ServiceError::NotHashed(NotHashed::Unavailable) => (503, Code::Unavailable),
        ServiceError::NotEncoded { .. } => (422, Code::NotEncoded),
        ServiceError::NotSent { why: NotSent::OtherId(_), .. } => (503, Code::Busy),
        ServiceError::NotSent { why: NotSent::NotActivated, .. } => (409, Code::NotActivated),
        ServiceError::NotSent { why: NotSent::Offline, .. } | ServiceError::NotServed { .. } => {
            (409, Code::Offline)
        }
        ServiceError::NotSent { why: NotSent::QueueFull { .. }, .. } => (409, Code::QueueFull),
        ServiceError::SwitchedOff { .. } | ServiceError::NotSentToSuspended { .. } => {
            (409, Code::SwitchedOff)
        }
        ServiceError::UnitSuspended { .. } => (403, Code::UnitSuspended),
        ServiceError::Ended { .. } => (409, Code::Ended),
        ServiceError::QuotaExceeded(_) => (409, Code::QuotaExceeded),
        ServiceError::Conflict(_) => (409, Code::Conflict),
        ServiceError::Stale { .. } => (412, Code::PreconditionFailed),
        ServiceError::Damaged { .. } => (500, Code::Damaged),
        ServiceError::Unreadable(_) => (503, Code::Unavailable),
        ServiceError::Store(StoreError::Unavailable(_)) => (503, Code::Unavailable),
        ServiceError::Store(StoreError::Damaged(_)) => (500, Code::StoreDamaged),
        ServiceError::Store(_) => (500, Code::Internal),
    };
    let place = match error {
        ServiceError::Invalid { field, .. } => Some(place(field)),
        ServiceError::Value { field, fault } => Some(place(field) + &fault.pointer),
        ServiceError::Property { fault, .. } => Some(fault.pointer.clone()),
        ServiceError::Model { fault } => Some(format!("/model{}", fault.pointer)),
        ServiceError::Script { .. } => Some("/source".to_owned()),
        _ => None,
    };
    Problem {
        detail: Some(error.to_string()),
        place,
        line: match error {
            ServiceError::Script { fault } | ServiceError::NotEncoded { fault } => fault.line,
            _ => None,
        },
        hint: error.hint().map(str::to_owned),
        ..Problem::new(status, code, title)
    }
}

/// The same for a caller of one unit: what is wrong with the store is about all of them, and names files.
pub(super) fn for_unit(title: &str, error: &ServiceError) -> Problem {
    let problem = of(title, error);
    match error {
        ServiceError::Store(_) | ServiceError::Unreadable(_) => Problem {
            detail: Some("the server's store cannot do it now".to_owned()),
            hint: Some("try again later; who runs the server finds more in its log".to_owned()),
            ..problem
        },
        _ => problem,
    }
}

/// Where a field stands: in the query by its name, in the body by a JSON pointer.
fn place(field: &str) -> String {
    match field {
        "limit" | "cursor" | "from" | "to" | "device" | "bucket" | "fn" | "tz" | "tag" | "type" => {
            field.to_owned()
        }
        "endsAt" => "/dynamicActivation/endsAt".to_owned(),
        field => format!("/{field}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{command::CommandState, thing_model},
        ports::Fault,
    };

    #[test]
    fn what_is_wrong_with_a_field_of_the_body_or_of_the_query_has_its_place() {
        let invalid = |field| ServiceError::Invalid { field, message: "is wrong".into() };
        for (field, place) in [("name", "/name"), ("limit", "limit"), ("bucket", "bucket"), ("type", "type")]
        {
            let problem = of("cannot do it", &invalid(field));
            assert_eq!(
                (problem.status, problem.code, problem.place.as_deref()),
                (422, Code::Invalid, Some(place))
            );
        }
    }

    #[test]
    fn every_error_has_its_status_and_its_code() {
        let invalid = |field| ServiceError::Invalid { field, message: "is wrong".into() };
        let not_sent = |why| ServiceError::NotSent { why, device: "pk/dk".into() };
        let ended = ServiceError::Ended { id: "7".into(), state: CommandState::TimedOut };
        assert_eq!(ended.to_string(), "command 7 has ended: it is timed_out");
        let moved = ServiceError::ModelMoved { product_key: "pk".into(), version: 7 };
        let table = [
            (
                ServiceError::Value { field: "points", fault: thing_model::Fault::new("/n", "is wrong") },
                422,
                Code::Invalid,
                Some("/points/n"),
            ),
            (ServiceError::NotServed { device: "pk/dk".into() }, 409, Code::Offline, None),
            (invalid("endsAt"), 422, Code::Invalid, Some("/dynamicActivation/endsAt")),
            (
                ServiceError::Model { fault: thing_model::Fault::new("/events/0", "is wrong") },
                422,
                Code::ModelInvalid,
                Some("/model/events/0"),
            ),
            (moved, 412, Code::PreconditionFailed, None),
            (
                ServiceError::Property { what: "tags", fault: thing_model::Fault::new("/k", "is wrong") },
                422,
                Code::Invalid,
                Some("/k"),
            ),
            (ServiceError::Missing { what: "product", key: "pk".into() }, 404, Code::Missing, None),
            (ServiceError::Exists { what: "product", key: "pk".into() }, 409, Code::Exists, None),
            (ServiceError::Ambiguous { key: "d".into(), candidates: vec![] }, 409, Code::Ambiguous, None),
            (not_sent(NotSent::NotActivated), 409, Code::NotActivated, None),
            (not_sent(NotSent::Offline), 409, Code::Offline, None),
            (not_sent(NotSent::QueueFull { open_max: 50 }), 409, Code::QueueFull, None),
            (ServiceError::SwitchedOff { what: "device pk/dk".into() }, 409, Code::SwitchedOff, None),
            (ServiceError::NotSentToSuspended { ou: "o1".into() }, 409, Code::SwitchedOff, None),
            (ServiceError::UnitSuspended { ou: "o1".into() }, 403, Code::UnitSuspended, None),
            (ended, 409, Code::Ended, None),
            (ServiceError::Stale { what: "tags" }, 412, Code::PreconditionFailed, None),
            (ServiceError::NotEmpty { product_key: "pk".into() }, 409, Code::NotEmpty, None),
            (ServiceError::Damaged { what: "a row".into(), hint: "h" }, 500, Code::Damaged, None),
            (ServiceError::Store(StoreError::Unavailable("full".into())), 503, Code::Unavailable, None),
            (ServiceError::Store(StoreError::Damaged("a page".into())), 500, Code::StoreDamaged, None),
            (ServiceError::Unreadable("a file".into()), 503, Code::Unavailable, None),
            (ServiceError::NotHashed(NotHashed::Busy), 429, Code::Busy, None),
            (ServiceError::NotHashed(NotHashed::Unavailable), 503, Code::Unavailable, None),
            (ServiceError::QuotaExceeded("q".into()), 409, Code::QuotaExceeded, None),
            (ServiceError::Conflict("c".into()), 409, Code::Conflict, None),
            (ServiceError::Store(StoreError::Fenced("f".into())), 500, Code::Internal, None),
        ];
        for (error, status, code, place) in table {
            let problem = of("cannot do it", &error);
            assert_eq!((problem.status, problem.code, problem.place.as_deref()), (status, code, place));
            assert_eq!((&*problem.title, problem.to_string()), ("cannot do it", error.to_string()));
            assert_eq!(problem.hint.as_deref(), error.hint());
        }
    }

    #[test]
    fn what_is_wrong_with_a_script_has_its_line() {
        let fault = |kind| Fault::at(kind, "no", Some(3));
        for (error, status, code, place, line) in [
            (
                ServiceError::Script { fault: fault(FaultKind::Syntax) },
                422,
                Code::ScriptInvalid,
                Some("/source"),
                Some(3),
            ),
            (
                ServiceError::NotEncoded { fault: fault(FaultKind::Throws) },
                422,
                Code::NotEncoded,
                None,
                Some(3),
            ),
            (ServiceError::NotRun { fault: fault(FaultKind::Busy) }, 503, Code::Busy, None, None),
            (
                ServiceError::NotRun { fault: fault(FaultKind::Unavailable) },
                503,
                Code::Unavailable,
                None,
                None,
            ),
        ] {
            let problem = of("cannot do it", &error);
            assert_eq!((problem.status, problem.code), (status, code));
            assert_eq!((problem.place.as_deref(), problem.line), (place, line));
            assert_eq!(problem.hint.as_deref(), error.hint());
        }
    }
}
