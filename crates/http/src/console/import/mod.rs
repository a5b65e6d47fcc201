//! Import of devices: a file is taken, tried or imported behind its page, which shows how far it is, the
//! faults with their lines, and where the secrets are. Without script the page is loaded anew meanwhile.

mod runs;
mod shown;

use axum::{
    Router,
    extract::{Path, Query},
    http::Method,
    routing::{get, post},
};
use maud::{Markup, html};
use narrowgate_api::{
    import::ImportMode,
    page::Page,
    problem::{Code, Problem},
    product::ProductRow,
};
use narrowgate_platform::{model::access::Needs, service::path_part};
use serde::Deserialize;

pub(super) use self::runs::Runs;
use self::runs::{Run, Wanted};
use super::{
    layout::{Here, Sheet},
    products, see_other,
    upload::{UPLOAD_BYTES_MAX, Upload, Uploaded},
    visit::{Sent, Shown, Trouble, Visit},
    words,
};

pub(super) const PATH: &str = "/console/import";

/// Products that are offered in a list.
const PRODUCTS_MAX: usize = 200;
/// Letters of the name of a file.
const NAME_LETTERS_MAX: usize = 80;

pub(super) fn routes() -> Router {
    Router::new()
        .route(PATH, get(ask).post(take))
        .route("/console/import/{import}", get(shown::show))
        .route("/console/import/{import}/go", post(go))
        .route("/console/import/{import}/secrets", post(shown::secrets))
}

/// The page of an import.
fn path_of(run: &Run) -> String {
    format!("{PATH}/{}", path_part(&run.id))
}

fn gone(visit: &Visit) -> Trouble {
    Problem::new(404, Code::Missing, visit.t(words::IMPORT_GONE)).into()
}

/// What is in the fields.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Fields {
    product: String,
    mode: String,
}

async fn ask(visit: Visit, Query(fields): Query<Fields>) -> Shown {
    visit.require(Needs::Administer)?;
    page(&visit, &fields, None).await
}

async fn page(visit: &Visit, fields: &Fields, problem: Option<&Problem>) -> Shown {
    let products: Page<ProductRow> = visit.read("/api/v1/products").await?;
    let known = products.items.iter().filter_map(|row| match row {
        ProductRow::Intact(product) => Some((&*product.product_key, &*product.name)),
        ProductRow::Damaged(_) => None,
    });
    let known: Vec<_> = known.collect();
    let sheet = Sheet::new(Here::Import, visit.t(words::IMPORT_TITLE));
    let sheet = sheet.with_status(problem.map_or(200, |problem| problem.status));
    let content = html! {
        @if let Some(problem) = problem { (visit.problem(problem)) }
        @if known.is_empty() {
            p.notice.watch { (visit.t(words::IMPORT_NO_PRODUCT)) }
            p { a.button.first href="/console/new-product" { (visit.t(words::PRODUCTS_NONE_STEP)) } }
        } @else {
            div.split {
                (form(visit, fields, &known))
                section.panel {
                    h2 { (visit.t(words::IMPORT_EXAMPLE)) }
                    (visit.line_to_paste(EXAMPLE))
                    p.hint { (visit.t(words::IMPORT_TEXT)) }
                    @let size = visit.preferences.bytes(UPLOAD_BYTES_MAX as u64);
                    p.hint { (visit.say(words::IMPORT_LIMIT, &[("size", &size)])) }
                }
            }
        }
        (shown::list(visit))
    };
    Ok(visit.page(sheet, &content))
}

/// The second one has a secret, the others get one.
const EXAMPLE: &str =
    "deviceKey,deviceSecret,name\nmeter-1,,Cellar\nmeter-2,Z5YtZaQpK5IWocakV7zQ,Roof\nmeter-3,,\n";

const MODES: [(ImportMode, &str); 2] = [(ImportMode::Valid, "valid"), (ImportMode::All, "all")];

fn mode_word(mode: ImportMode) -> words::Word {
    match mode {
        ImportMode::Valid => words::IMPORT_VALID,
        ImportMode::All => words::IMPORT_ALL,
    }
}

fn form(visit: &Visit, fields: &Fields, known: &[(&str, &str)]) -> Markup {
    html! {
        form.panel method="post" action=(PATH) enctype="multipart/form-data" {
            (visit.token_field())
            label {
                (visit.t(words::PRODUCT))
                @if known.len() <= PRODUCTS_MAX {
                    select name="product" required {
                        @for (key, name) in known {
                            option value=(key) selected[*key == fields.product] { (name) " · " (key) }
                        }
                    }
                } @else {
                    input name="product" value=(fields.product) required autocapitalize="none"
                        spellcheck="false";
                }
            }
            label {
                (visit.t(words::IMPORT_FILE))
                input type="file" name="file" required
                    accept=".csv,.json,.jsonl,.ndjson,text/csv,application/x-ndjson";
            }
            label {
                (visit.t(words::IMPORT_MODE))
                select name="mode" {
                    @for (mode, value) in MODES {
                        option value=(value) selected[value == fields.mode] { (visit.t(mode_word(mode))) }
                    }
                }
            }
            p.buttons {
                button.first name="do" value="try" { (visit.t(words::IMPORT_TRY)) }
                button name="do" value="import" { (visit.t(words::IMPORT_GO)) }
            }
        }
    }
}

async fn take(visit: Visit, Uploaded(upload): Uploaded, mut form: Sent) -> Shown {
    visit.require(Needs::Administer)?;
    let [product, mode, act] = ["product", "mode", "do"].map(|name| form.text(name));
    let fields = Fields { product, mode };
    let Some(Upload { name, bytes }) = upload.filter(|upload| !upload.bytes.is_empty()) else {
        let problem = Problem::new(422, Code::Invalid, visit.t(words::IMPORT_NO_FILE));
        return page(&visit, &fields, Some(&problem)).await;
    };
    // Whether there is such a product, before a page says that it is imported.
    let _: serde_json::Value = visit.read(&products::api_path(&fields.product)).await?;
    let mode = MODES.into_iter().find(|(_, name)| *name == fields.mode).map(|(mode, _)| mode);
    let wanted = Wanted {
        product: fields.product.clone(),
        file_name: name.chars().filter(|letter| !letter.is_control()).take(NAME_LETTERS_MAX).collect(),
        mode: mode.unwrap_or_default(),
        dry_run: act != "import",
    };
    begin(&visit, wanted, bytes)
}

fn begin(visit: &Visit, wanted: Wanted, file: axum::body::Bytes) -> Shown {
    match visit.console.imports.begin(visit, wanted, file) {
        Some(run) => Ok(see_other(&path_of(&run))),
        None => Err(Problem::new(429, Code::Busy, visit.t(words::IMPORT_BUSY)).into()),
    }
}

/// Imports the file of a dry run.
async fn go(visit: Visit, Path(id): Path<String>) -> Shown {
    visit.require(Needs::Administer)?;
    let run = visit.console.imports.find(&visit, &id).ok_or_else(|| gone(&visit))?;
    match run.take_file() {
        Some(file) => begin(&visit, Wanted { dry_run: false, ..run.wanted.clone() }, file),
        // It was sent twice, or its time is over.
        None => Ok(see_other(&path_of(&run))),
    }
}

/// Whether a request brings a file: it may take longer.
pub(crate) fn takes_file(method: &Method, path: &str) -> bool {
    *method == Method::POST && path == PATH
}
