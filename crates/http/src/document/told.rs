//! What people are told of each route: its name, one sentence, and a body that it reads.

/// What is told of a route.
pub(crate) struct Told {
    /// Its method, and its path behind `/api/v1` with the act; `{device}` at the beginning is either path of
    /// a device.
    pub(crate) route: &'static str,
    /// Its name for programs that are made of the document.
    pub(crate) id: &'static str,
    /// What it does.
    pub(crate) summary: &'static str,
    /// A body that it reads; empty: it reads none, or bytes.
    pub(crate) body: &'static str,
}

const fn told(route: &'static str, id: &'static str, summary: &'static str) -> Told {
    Told { route, id, summary, body: "" }
}

impl Told {
    const fn with(self, body: &'static str) -> Self {
        Self { body, ..self }
    }
}

/// The file of one byte, 7.
pub(crate) const FIRMWARE: &str = concat!(
    r#"{"productKey":"pk-1","version":"1","size":1,"sha256":""#,
    "ca358758f6d27e6cf45272937977a748fd88391db679ceda7dc7bf1f005ee879",
    r#""}"#
);

/// All routes.
#[rustfmt::skip]
pub(crate) const TOLD: &[Told] = &[
    told("GET /me", "showMe", "Who asks."),
    told("GET /ous", "listUnits", "Organisation units."),
    told("POST /ous", "createUnit", "Makes an organisation unit.").with(r#"{"name":"new unit"}"#),
    told("GET /ous/{ou}", "showUnit", "An organisation unit: what it may have, and whether it is suspended."),
    told("PATCH /ous/{ou}", "updateUnit",
        "Changes how much an organisation unit may have: null takes a quota away. What it has stays.")
        .with(r#"{"quotas":{"devices":1000}}"#),
    told("POST /ous/{ou}:suspend", "suspendUnit",
        "Suspends an organisation unit: sessions of its devices end, its tokens open nothing; all is kept."),
    told("POST /ous/{ou}:resume", "resumeUnit", "Ends that: devices and tokens get in again."),
    told("GET /tokens", "listTokens", "Tokens, without their texts."),
    told("POST /tokens", "createToken", "Makes a token. Its text is shown this once.")
        .with(r#"{"name":"new token","role":"viewer"}"#),
    told("GET /tokens/{token}", "showToken", "A token, without its text."),
    told("DELETE /tokens/{token}", "revokeToken", "Ends a token at once."),
    told("GET /users", "listUsers", "Users."),
    told("POST /users", "createUser",
        "Makes a user. The path of the page that sets the password, once, is shown this once.")
        .with(r#"{"user":"new user","role":"viewer"}"#),
    told("GET /users/{user}", "showUser", "A user."),
    told("PATCH /users/{user}", "updateUser",
        "Changes a user: what is left out stays. The user's sessions end.")
        .with(r#"{"role":"operator"}"#),
    told("DELETE /users/{user}", "deleteUser", "Deletes a user, whose sessions end."),
    told("POST /users/{user}:reset", "resetUser",
        "Puts a new one-time link, shown this once, in the place of a password. The user's sessions end."),

    told("GET /me/sessions", "listOwnSessions",
        "Sessions of the user who asks, newest first; none of a token."),
    told("DELETE /me/sessions/{session}", "endOwnSession", "Ends a session of the user who asks."),
    told("GET /users/{user}/sessions", "listUserSessions", "Sessions of a user, newest first."),
    told("DELETE /users/{user}/sessions/{session}", "endUserSession", "Ends a session of a user, at once."),

    told("GET /audit", "listAudit",
        "What was changed, which secrets were shown and what was refused, newest first, with who asked."),
    told("GET /audit/chain", "readAuditChain",
        "A part of the audit log as it is exported, oldest first, for whoever verifies its chain."),

    told("GET /products", "listProducts", "Products, without their thing models."),
    told("POST /products", "createProduct", "Makes a product. Its secret is shown this once.")
        .with(r#"{"name":"n"}"#),
    told("GET /products/{product}", "showProduct", "A product, with its thing model."),
    told("PATCH /products/{product}", "updateProduct", "Changes a product: what is left out stays.")
        .with(r#"{"name":"n"}"#),
    told("DELETE /products/{product}", "deleteProduct",
        "Deletes a product; with `force` its devices too, a number at a time: ask again until it is done."),
    told("GET /products/{product}/secret", "showProductSecret",
        "The secret of a product; the audit log says that it was shown."),
    told("POST /products/{product}/secret:rotate", "rotateProductSecret",
        "Replaces a product's secret and shows the new one this once."),
    told("POST /products/{product}/model:infer", "inferModel",
        "A draft of a thing model, from what devices sent. It changes nothing."),
    told("POST /products/{product}/devices", "createDevice",
        "Registers a device. Its secret is shown this once.")
        .with("{}"),
    told("POST /products/{product}/devices:import", "importDevices",
        "Registers many devices: rows, which are answered with the secrets that were generated, or a file of \
         CSV, JSON lines or keys, which is read as it comes and answered with where they can be fetched.")
        .with(r#"{"rows":[]}"#),
    told("GET /imports/{import}/secrets", "fetchImportSecrets",
        "Secrets that were generated for an import: once, and within an hour."),
    told("GET /products/{product}/values", "exportProductValues",
        "Values of all devices of a product, device by device, all of them."),

    told("GET /products/{product}/model", "showModel", "The thing model; its version is the entity tag."),
    told("PUT /products/{product}/model", "putModel", "Replaces the thing model.").with(r#"{"modelId":"m"}"#),
    told("GET /products/{product}/model/versions", "listModelVersions", "Versions of the thing model."),
    told("GET /products/{product}/model/versions/{version}", "showModelVersion",
        "A version of the thing model."),

    told("GET /products/{product}/script", "showScript", "The script: its draft, and what runs."),
    told("PUT /products/{product}/script", "draftScript", "Takes a draft of the script.")
        .with(r#"{"source":"copy"}"#),
    told("POST /products/{product}/script:try", "tryScript", "Tries a script. It changes nothing.")
        .with(r#"{"source":"copy","hex":"7b7d"}"#),
    told("POST /products/{product}/script:publish", "publishScript",
        "Publishes a script: it runs from now on.")
        .with(r#"{"source":"copy"}"#),
    told("POST /products/{product}/script:rollback", "rollBackScript", "Publishes an older version again.")
        .with(r#"{"version":1}"#),
    told("GET /products/{product}/script/versions", "listScriptVersions", "Versions of the script."),
    told("GET /products/{product}/script/versions/{version}", "showScriptVersion",
        "A version of the script."),

    told("GET /devices", "listDevices",
        "Devices for which all that is asked holds; as lines, all of them."),
    told("POST /devices:bulk", "changeDevices",
        "Enables, disables, deletes or tags the devices of a filter or of a list: as a job, which has ended \
         (200) or goes on (202).")
        .with(r#"{"action":"disable","filter":{"product":"pk-1"},"dryRun":true}"#),
    told("GET /jobs", "listJobs", "What is done to many devices, newest first."),
    told("GET /jobs/{job}", "showJob", "A job: how far it is, and what it could not do."),
    told("POST /jobs/{job}:cancel", "cancelJob",
        "Ends a job behind the devices that it works on now. What was done stays."),
    told("GET {device}", "showDevice", "A device."),
    told("PATCH {device}", "renameDevice", "Gives a device another name.").with(r#"{"name":"n"}"#),
    told("DELETE {device}", "deleteDevice",
        "Deletes a device; with `purge` also what it sent, some messages at a time: ask again after 202."),
    told("POST {device}:enable", "enableDevice", "Switches a device on."),
    told("POST {device}:disable", "disableDevice", "Switches a device off."),
    told("POST {device}:disconnect", "disconnectDevice",
        "Ends the sessions of a device, which may connect again at once."),
    told("POST {device}:reset", "resetDevice", "Makes a device inactive again, with a new secret."),
    told("GET {device}/secret", "showDeviceSecret",
        "The secret of a device, its key, and commands for clients that report as it; its log says that it \
         was shown."),
    told("POST {device}/secret:rotate", "rotateDeviceSecret",
        "Replaces a device's secret at once, ends its session, and shows the new one."),

    told("GET {device}/commands", "listCommands", "Commands of a device, newest first."),
    told("POST {device}/commands", "sendCommand",
        "Sends a command; with `wait` the answer is the device's, or 504 with the command, which goes on.")
        .with(r#"{"kind":"get","ids":["temp"],"pendingTtl":60}"#),
    told("POST {device}/commands:cancel", "cancelCommands",
        "Takes back all that has not ended; what was fetched may be done all the same."),
    told("GET {device}/commands/{id}", "showCommand", "A command."),
    told("POST {device}/commands/{id}:cancel", "cancelCommand", "Takes a command back."),

    told("GET /refusals", "listRefusals", "What was refused, newest first, also of unknown devices."),
    told("GET {device}/points", "listPoints", "The latest value of each point."),
    told("GET {device}/points/{point}/values", "listPointValues",
        "Values of a point by time, newest first, or what they come to in buckets of time."),
    told("GET {device}/values", "listValues", "Values of all points by time, newest first."),
    told("GET {device}/events", "listDeviceEvents", "Events of a device, newest first."),
    told("GET {device}/log", "listDeviceLog", "The log of a device, newest first."),
    told("GET {device}/presence", "listPresence", "When a device came and went, newest first."),
    told("GET {device}/refusals", "listDeviceRefusals", "What was refused of a device, newest first."),

    told("GET {device}/attributes", "showAttributes", "Attributes of a device."),
    told("PATCH {device}/attributes", "patchAttributes", "Changes attributes: null takes away.")
        .with(r#"{"room":"101"}"#),
    told("GET {device}/tags", "showTags", "Tags of a device."),
    told("PATCH {device}/tags", "patchTags", "Changes tags: null takes away.").with(r#"{"site":"north"}"#),
    told("PUT {device}/tags", "putTags", "Replaces all tags.").with(r#"{"site":"north"}"#),

    told("GET /firmware", "listImages", "Images of firmware."),
    told("POST /firmware", "beginImage",
        "Says how many bytes of a file are there, or gives the image that it has become.").with(FIRMWARE),
    told("PUT /firmware:content", "takeImagePiece", "Takes a piece of the file."),
    told("GET /firmware/{image}", "showImage", "An image."),
    told("DELETE /firmware/{image}", "deleteImage", "Deletes an image."),
    told("GET /rollouts", "listRollouts", "Rollouts, in the order of their images."),
    told("POST /rollouts", "offerImage",
        "Offers an image to a device or to a share of them; ask again with `nextCursor` until it is null.")
        .with(r#"{"imageId":"Ab3dEf7h","share":10}"#),
    told("GET /rollouts/{image}", "showRollout", "How far a rollout is."),
    told("POST /rollouts/{image}:pause", "pauseRollout", "Offers an image to nobody more for now."),
    told("POST /rollouts/{image}:resume", "resumeRollout", "Goes on with a rollout."),
    told("GET /rollouts/{image}/devices", "listRolloutDevices", "Devices of a rollout, and how far each is."),

    told("GET /system", "showStatus", "The fleet in numbers, who serves it, and the disk."),
    told("POST /backup", "makeBackup",
        "Makes a backup in `backups` of the data directory; the store is served meanwhile."),
    told("GET /system/rates", "showRates",
        "How many reports came and what was refused over the last day, of all or of a unit."),
    told("POST /backup:hold", "holdWrites",
        "The store stands still while the answer goes on, for at most three seconds: for backups."),
    told("GET /events", "listen", "What happens to devices, as it happens or from a cursor on."),
];
