//! What an operation takes and answers, read from the types of its handler: the OpenAPI document is made of
//! it. A handler that takes or answers something whose form is not known here does not compile as a route.

use axum::{
    Json,
    http::{HeaderName, Method, StatusCode, Uri},
    response::{IntoResponse, Response, Sse},
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

use super::{
    asked::{Asked, Lasting, Standing},
    census::Counted,
    extract::{Body, Document, First, Matching, Named, Octets, Part, Product, Query, Replacing},
};
use crate::{problem::Refused, secret::Secretive, work::Attended};

/// Makes the schema of a type.
pub(crate) type Shape = fn(&mut SchemaGenerator) -> Schema;

const JSON: &str = "application/json";

/// What an operation takes and answers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sketch {
    /// An object of what may stand behind the `?`.
    pub(crate) query: Option<Shape>,
    /// Whether it reads `If-Match`.
    pub(crate) takes_condition: bool,
    /// Whether it has to have `If-Match` where there is something to replace.
    pub(crate) needs_condition: bool,
    /// Whether it reads `Last-Event-ID`.
    pub(crate) takes_last_event: bool,
    /// Whether it answers with all there is, line by line, where it is asked to.
    pub(crate) streams: bool,
    /// Whether it may read a lot of the store at once.
    pub(crate) reads_much: bool,
    /// The media types of its body, each with its form.
    pub(crate) bodies: Vec<(&'static str, Shape)>,
    /// What it answers where nothing is wrong, and where it says so by a status of its own.
    pub(crate) answers: Vec<Answer>,
}

/// One form of an answer.
#[cfg_attr(not(test), expect(dead_code, reason = "the document is made by a test and checked in"))]
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: u16,
    /// Its media type.
    pub(crate) media_type: &'static str,
    /// Whether it carries an `ETag`.
    pub(crate) is_tagged: bool,
    /// Whether its memory is wiped.
    pub(crate) is_wiped: bool,
    /// Its form.
    pub(crate) shape: Shape,
}

impl Answer {
    fn json<T: JsonSchema>() -> Self {
        let shape = SchemaGenerator::subschema_for::<T>;
        Self { status: 200, media_type: JSON, is_tagged: false, is_wiped: false, shape }
    }

    fn text(media_type: &'static str) -> Self {
        Self { media_type, ..Self::json::<String>() }
    }
}

/// What a handler can take.
pub(super) trait Takes {
    /// Adds what it reads of the request; by default nothing, or nothing but the path.
    fn takes(_sketch: &mut Sketch) {}
}

impl Takes for Asked {}
impl Takes for Standing {}
impl Takes for Counted {}
impl Takes for Method {}
impl Takes for Uri {}
impl Takes for Attended {}
impl Takes for Lasting {}
impl Takes for Named {}
impl Takes for Product {}
impl Takes for First {}
impl Takes for Part {}

impl Takes for Matching {
    fn takes(sketch: &mut Sketch) {
        sketch.takes_condition = true;
    }
}

impl Takes for Replacing {
    fn takes(sketch: &mut Sketch) {
        (sketch.takes_condition, sketch.needs_condition) = (true, true);
    }
}

impl<T: JsonSchema> Takes for Query<T> {
    fn takes(sketch: &mut Sketch) {
        sketch.query = Some(SchemaGenerator::root_schema_of::<T>);
        // What is chosen from is a list.
        sketch.reads_much = true;
    }
}

impl<T: JsonSchema> Takes for Body<T> {
    fn takes(sketch: &mut Sketch) {
        sketch.bodies.push((JSON, SchemaGenerator::subschema_for::<T>));
    }
}

impl Takes for Document {
    fn takes(sketch: &mut Sketch) {
        sketch.bodies.push((JSON, SchemaGenerator::subschema_for::<serde_json::Value>));
    }
}

impl Takes for Octets {
    fn takes(sketch: &mut Sketch) {
        // OpenAPI 3.1: bytes have no schema.
        sketch.bodies.push(("application/octet-stream", |_| Schema::default()));
    }
}

/// Makes the schema of an object in place, so that its properties can be read.
trait InPlace {
    fn root_schema_of<T: JsonSchema>(&mut self) -> Schema;
}

impl InPlace for SchemaGenerator {
    fn root_schema_of<T: JsonSchema>(&mut self) -> Schema {
        T::json_schema(self)
    }
}

/// What a handler can answer.
pub(super) trait Answers {
    /// Adds the forms of its answers.
    fn answers(sketch: &mut Sketch);
}

impl<T: JsonSchema> Answers for Json<T> {
    fn answers(sketch: &mut Sketch) {
        sketch.answers.push(Answer::json::<T>());
    }
}

impl<T: JsonSchema> Answers for Secretive<T> {
    fn answers(sketch: &mut Sketch) {
        sketch.answers.push(Answer { is_wiped: true, ..Answer::json::<T>() });
    }
}

/// With its entity tag.
impl<T: JsonSchema> Answers for ([(HeaderName, String); 1], Json<T>) {
    fn answers(sketch: &mut Sketch) {
        sketch.answers.push(Answer { is_tagged: true, ..Answer::json::<T>() });
    }
}

/// An event stream.
impl<S> Answers for ([(HeaderName, &'static str); 1], Sse<S>) {
    fn answers(sketch: &mut Sketch) {
        sketch.answers.push(Answer::text("text/event-stream"));
    }
}

/// A problem, which every operation may answer, is described once.
impl<A: Answers> Answers for Result<A, Refused> {
    fn answers(sketch: &mut Sketch) {
        A::answers(sketch);
    }
}

/// An answer with this status.
pub(super) struct Status<const CODE: u16, A>(pub(super) A);

/// Something was made.
pub(super) type Created<A> = Status<201, A>;

impl<const CODE: u16, A: Answers> Answers for Status<CODE, A> {
    fn answers(sketch: &mut Sketch) {
        let before = sketch.answers.len();
        A::answers(sketch);
        for answer in &mut sketch.answers[before..] {
            answer.status = CODE;
        }
    }
}

impl<const CODE: u16, A: IntoResponse> IntoResponse for Status<CODE, A> {
    fn into_response(self) -> Response {
        let mut response = self.0.into_response();
        // What could not be written keeps its own.
        if response.status().is_success() {
            *response.status_mut() = StatusCode::from_u16(CODE).unwrap_or_default();
        }
        response
    }
}

/// One answer or another.
pub(super) enum Either<A, B> {
    /// One.
    One(A),
    /// The other.
    Other(B),
}

impl<A: Answers, B: Answers> Answers for Either<A, B> {
    fn answers(sketch: &mut Sketch) {
        A::answers(sketch);
        B::answers(sketch);
    }
}

impl<A: IntoResponse, B: IntoResponse> IntoResponse for Either<A, B> {
    fn into_response(self) -> Response {
        match self {
            Self::One(answer) => answer.into_response(),
            Self::Other(answer) => answer.into_response(),
        }
    }
}

/// Lines of CSV or of JSON, as `Accept` asks for them.
#[derive(Debug)]
pub(super) struct Lined(pub(super) Response);

impl Answers for Lined {
    fn answers(sketch: &mut Sketch) {
        for media_type in ["text/csv", "application/x-ndjson"] {
            sketch.answers.push(Answer::text(media_type));
        }
    }
}

impl IntoResponse for Lined {
    fn into_response(self) -> Response {
        self.0
    }
}

/// JSON whose bytes come one after the other.
pub(super) struct Streamed<T>(pub(super) Response, pub(super) std::marker::PhantomData<T>);

impl<T: JsonSchema> Answers for Streamed<T> {
    fn answers(sketch: &mut Sketch) {
        sketch.answers.push(Answer::json::<T>());
    }
}

impl<T> IntoResponse for Streamed<T> {
    fn into_response(self) -> Response {
        self.0
    }
}

/// A list: a page of it, or all of it as lines, by `Accept`.
pub(super) enum Listed<T> {
    /// A page.
    Page(Json<T>),
    /// Lines.
    Lines(Lined),
}

impl<T: JsonSchema> Answers for Listed<T> {
    fn answers(sketch: &mut Sketch) {
        sketch.answers.push(Answer::json::<T>());
        Lined::answers(sketch);
    }
}

impl<T: Serialize> IntoResponse for Listed<T> {
    fn into_response(self) -> Response {
        match self {
            Self::Page(page) => page.into_response(),
            Self::Lines(lines) => lines.into_response(),
        }
    }
}

/// A file of CSV.
pub(super) struct CsvFile(pub(super) Response);

impl Answers for CsvFile {
    fn answers(sketch: &mut Sketch) {
        sketch.answers.push(Answer::text("text/csv"));
    }
}

impl IntoResponse for CsvFile {
    fn into_response(self) -> Response {
        self.0
    }
}

/// A handler that takes what is described; `T`: as of [`axum::handler::Handler`].
pub(super) trait Taking<T> {
    /// Adds what it takes.
    fn takes(sketch: &mut Sketch);
}

/// A handler that answers what is described.
pub(super) trait Answering<T> {
    /// Adds what it answers.
    fn answers(sketch: &mut Sketch);
}

macro_rules! describe {
    ($($argument:ident)+) => {
        impl<F, Fut, M, $($argument),+> Taking<(M, $($argument,)+)> for F
        where
            F: FnOnce($($argument),+) -> Fut,
            $($argument: Takes,)+
        {
            fn takes(sketch: &mut Sketch) {
                $($argument::takes(sketch);)+
            }
        }

        impl<F, Fut, M, $($argument),+> Answering<(M, $($argument,)+)> for F
        where
            F: FnOnce($($argument),+) -> Fut,
            Fut: Future<Output: Answers>,
        {
            fn answers(sketch: &mut Sketch) {
                Fut::Output::answers(sketch);
            }
        }
    };
}

describe!(A);
describe!(A B);
describe!(A B C);
describe!(A B C D);
describe!(A B C D E);
