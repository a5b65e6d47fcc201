//! Every command of the command line has its route, and every route its command: the table in
//! `docs/routes.md`, which this makes of clap's commands, of the calls of the client, and of the OpenAPI
//! document.

use std::{collections::BTreeSet, env, fmt::Write as _, fs};

use clap::{Command, CommandFactory as _};
use serde_json::Value;

use super::{Call, verb, verbs};
use crate::cli::Cli;

/// Set: the table is written anew.
const WRITE: &str = "NARROWGATE_WRITE_ROUTES";
const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/routes.md");
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../openapi/narrowgate.json");

/// What each command asks for, by the names of the document. A device by one name goes without saying.
const ROUTES: &[(&str, &[&str])] = &[
    ("product create", &["createProduct"]),
    ("product list", &["listProducts"]),
    ("product show", &["showProduct"]),
    ("product update", &["updateProduct"]),
    ("product secret", &["showProductSecret"]),
    ("product rotate-secret", &["rotateProductSecret"]),
    ("product delete", &["deleteProduct"]),
    ("model show", &["showProduct", "showModelVersion"]),
    ("model versions", &["listModelVersions"]),
    ("model check", &["showProduct", "showDevice", "showAttributes", "listValues"]),
    ("model infer", &["inferModel"]),
    ("script publish", &["publishScript"]),
    ("script try", &["tryScript"]),
    ("script versions", &["listScriptVersions"]),
    ("script show", &["showScript", "showScriptVersion"]),
    ("script rollback", &["rollBackScript"]),
    ("device create", &["createDevice"]),
    ("device import", &["importDevices"]),
    ("device list", &["listDevices"]),
    ("device export", &["listDevices", "listValues"]),
    ("device show", &["showDevice"]),
    ("device log", &["listDeviceLog"]),
    ("device why", &["listDeviceRefusals"]),
    ("device rename", &["renameDevice"]),
    ("device disable", &["disableDevice"]),
    ("device enable", &["enableDevice"]),
    ("device reset", &["resetDevice"]),
    ("device rotate-secret", &["rotateDeviceSecret"]),
    ("device delete", &["deleteDevice"]),
    ("device secret", &["showDeviceSecret"]),
    ("device attributes", &["showAttributes", "patchAttributes"]),
    ("device tags", &["showTags", "patchTags"]),
    ("device events", &["listDeviceEvents"]),
    ("device points", &["listPoints", "listValues", "listPointValues"]),
    ("command send", &["sendCommand"]),
    ("command list", &["listCommands"]),
    ("command show", &["showCommand"]),
    ("command cancel", &["cancelCommand", "cancelCommands"]),
    ("firmware upload", &["beginImage", "takeImagePiece"]),
    ("firmware list", &["listImages"]),
    ("firmware offer", &["offerImage"]),
    ("firmware status", &["showRollout", "listRolloutDevices"]),
    ("firmware pause", &["pauseRollout"]),
    ("firmware resume", &["resumeRollout"]),
    ("firmware delete", &["showImage", "deleteImage"]),
    ("token create", &["createToken"]),
    ("token list", &["listTokens"]),
    ("token show", &["showToken"]),
    ("token revoke", &["revokeToken"]),
    ("user create", &["createUser"]),
    ("user list", &["listUsers"]),
    ("user show", &["showUser"]),
    ("user update", &["updateUser"]),
    ("user reset", &["resetUser"]),
    ("user delete", &["deleteUser"]),
    ("user sessions", &["listUserSessions"]),
    ("user end-session", &["endUserSession"]),
    ("ou create", &["createUnit"]),
    ("ou list", &["listUnits"]),
    ("ou show", &["showUnit"]),
    ("ou update", &["updateUnit"]),
    ("ou suspend", &["suspendUnit"]),
    ("ou resume", &["resumeUnit"]),
    ("audit list", &["listAudit"]),
    ("audit export", &["readAuditChain"]),
    ("audit verify", &["readAuditChain"]),
    ("refused", &["listRefusals"]),
    ("status", &["showStatus"]),
    ("listen", &["listen"]),
    ("backup", &["holdWrites"]),
];

/// Commands that ask nobody, with why.
const WITHOUT_ROUTE: &[(&str, &str)] = &[
    ("serve", "it is the server"),
    ("demo", "it is the server, with samples"),
    ("device simulate", "it is a device"),
    ("restore", "it makes a data directory, which no server has yet"),
    ("adopt", "it mends a data directory that no server starts on"),
    ("config", "it reads the settings of this machine"),
    ("completions", "it prints a text"),
    ("man", "it writes texts"),
    ("doctor", "it looks at this machine, and asks a running server for `/health/ready` and `/metrics`"),
];

/// Routes that no command asks for, with the command that comes to the same, or why there is none.
const WITHOUT_COMMAND: &[(&str, &str)] = &[
    ("showMe", "the command line asks as the owner"),
    ("showModel", "`model show`"),
    ("putModel", "`product update --model`"),
    ("draftScript", "`script try --file`, which keeps nothing"),
    ("putTags", "`device tags`"),
    ("listOwnSessions", "the command line asks as the owner, who has none: `user sessions`"),
    ("endOwnSession", "the same: `user end-session`"),
    ("listRollouts", "`firmware list`"),
    ("makeBackup", "`backup`, which names a directory"),
    ("fetchImportSecrets", "`device import --secrets-out`"),
    ("changeDevices", "`device enable`, `disable`, `delete` and `tags`, one by one"),
    ("listJobs", "no command makes jobs"),
    ("showJob", "no command makes jobs"),
    ("cancelJob", "no command makes jobs"),
    ("disconnectDevice", "`device disable` and `device enable`"),
    ("listPresence", "`device log`"),
    ("exportProductValues", "`device export --values`"),
    ("showRates", "`status`, which has the last minute and the last hour"),
];

#[test]
fn every_command_has_its_route_and_every_route_its_command() {
    let mut commands = BTreeSet::new();
    leaves(&Cli::command(), "", &mut commands);
    let told = ROUTES.iter().map(|(command, _)| *command);
    let told = names(told.chain(WITHOUT_ROUTE.iter().map(|(command, _)| *command)));
    assert_eq!(told, commands, "the commands of the command line, in ROUTES or WITHOUT_ROUTE");

    let operations = operations();
    let asked = names(ROUTES.iter().flat_map(|(_, operations)| operations.iter().copied()));
    let alone = names(WITHOUT_COMMAND.iter().map(|(operation, _)| *operation));
    assert!(asked.is_disjoint(&alone), "{:?}", asked.intersection(&alone));
    let all = names(operations.iter().map(|operation| &*operation.id));
    assert_eq!(&asked | &alone, all, "the operations of the document, in ROUTES or WITHOUT_COMMAND");

    let calls = verbs().into_iter().chain([verb("show_status", Call::show_status())]);
    let called: BTreeSet<_> = calls
        .map(|call| {
            let path = call.path.split('?').next().unwrap_or_default().to_owned();
            let found = operations.iter().find(|operation| operation.is_at(call.method, &path));
            found.unwrap_or_else(|| panic!("{} asks for no operation", call.name)).id.clone()
        })
        .collect();
    let missing: Vec<_> = asked.difference(&called).collect();
    assert!(missing.is_empty(), "the client has no call for {missing:?}");
}

#[test]
fn the_table_of_commands_and_routes_is_that_of_the_code() {
    let made = table();
    if env::var_os(WRITE).is_some() {
        fs::write(TABLE, made).expect("it can be written");
        return;
    }
    let page = fs::read_to_string(TABLE).expect("it is there");
    assert!(
        page == made,
        "docs/routes.md is not that of the code; look at the change that this makes of it:\n\
         {WRITE}=1 cargo nextest run -p narrowgate --lib the_table_of_commands_and_routes"
    );
}

/// An operation of the document.
struct Operation {
    id: String,
    method: String,
    path: String,
}

impl Operation {
    /// Whether this path is one of its template's.
    fn is_at(&self, method: &str, path: &str) -> bool {
        let (template, path): (Vec<_>, Vec<_>) = (self.path.split('/').collect(), path.split('/').collect());
        let fits = |(template, part): (&&str, &&str)| match template.split_once('{') {
            None => template == part,
            Some((_, rest)) => {
                let act = rest.split_once('}').map_or("", |(_, act)| act);
                part.strip_suffix(act).is_some_and(|name| !name.is_empty() && !name.contains(':'))
            }
        };
        self.method.eq_ignore_ascii_case(method)
            && template.len() == path.len()
            && template.iter().zip(&path).all(fits)
    }
}

/// The operations; those of a device by one name have the id of the same by both keys.
fn operations() -> Vec<Operation> {
    let text = fs::read_to_string(DOCUMENT).expect("it is there");
    let document: Value = serde_json::from_str(&text).expect("it is JSON");
    let paths = document["paths"].as_object().expect("it has paths");
    let mut found = Vec::new();
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().expect("a path has methods") {
            let id = operation["operationId"].as_str().expect("an operation has a name");
            let id = id.strip_suffix("ByName").unwrap_or(id).to_owned();
            found.push(Operation { id, method: method.to_ascii_uppercase(), path: path.clone() });
        }
    }
    found
}

/// Commands that have no commands below them, with what stands before them.
fn leaves(command: &Command, before: &str, found: &mut BTreeSet<String>) {
    for below in command.get_subcommands() {
        let name = format!("{before}{}", below.get_name());
        if below.has_subcommands() {
            leaves(below, &format!("{name} "), found);
        } else {
            found.insert(name);
        }
    }
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    names.map(str::to_owned).collect()
}

fn table() -> String {
    let operations = operations();
    let route = |id: &str| {
        // In the order of the document the path by both keys is the last one.
        let found = operations.iter().rfind(|operation| operation.id == id).expect("another test looks");
        format!("{} `{}`", found.method, found.path)
    };
    let mut page = HEAD.to_owned();
    for (command, operations) in ROUTES {
        let routes: Vec<_> = operations.iter().map(|id| route(id)).collect();
        // A string takes everything.
        let _ = writeln!(page, "| `{command}` | {} |", routes.join("; "));
    }
    page += "\nThese commands ask nobody:\n\n| command | why |\n|---|---|\n";
    for (command, why) in WITHOUT_ROUTE {
        let _ = writeln!(page, "| `{command}` | {why} |");
    }
    page += "\nThese routes are for programs:\n\n| route | command that comes to the same |\n|---|---|\n";
    for (operation, instead) in WITHOUT_COMMAND {
        let _ = writeln!(page, "| {} | {instead} |", route(operation));
    }
    page
}

const HEAD: &str = "# Commands and routes\n\n\
    What each command of the command line asks the server for. [api.md](api.md) has the rules, and \
    `/api/docs` of a server\nevery operation. Made by a test of the command line, the client and the OpenAPI \
    document.\n\nEach path that begins with `/api/v1/products/{product}/devices/{device}` is also served at \
    `/api/v1/devices/{device}`,\nfor a device by one name.\n\n| command | route |\n|---|---|\n";
