//! `narrowgate audit …`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::paging::PagingArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// List what operators changed and which secrets they read, newest first
    #[command(after_help = "OUTCOME unknown: it is not known whether it happened, as the server ended.\n\n\
                            Examples:\n  narrowgate audit list --actor ci --from 2026-11-01\n  \
                            narrowgate audit list --target /products/MuGsF6W4 --all -o json")]
    List(AuditListArgs),
    /// Write the whole chain to a file, as JSON lines; the last one has its head and count
    #[command(
        after_help = "Keep head and count where nobody who writes the data directory can change them: \
                            audit verify\ncompares them later.\n\nExample:\n  \
                            narrowgate audit export audit-2026-11.ndjson"
    )]
    Export {
        /// A file that does not exist yet
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Verify the chain of the store, or of an exported file; exit 1 where it is broken
    #[command(after_help = "Examples:\n  narrowgate audit verify\n  \
                            narrowgate audit verify audit-2026-11.ndjson\n  \
                            narrowgate audit verify --count 812 --head 9f86d081884c7d65…")]
    Verify(AuditVerifyArgs),
}

#[derive(Debug, Args)]
pub(crate) struct AuditListArgs {
    /// From this time on (RFC 3339, a date, or Unix ms)
    #[arg(long, value_name = "TIME", value_parser = crate::time::parse)]
    pub(crate) from: Option<i64>,
    /// Before this time (RFC 3339, a date, or Unix ms)
    #[arg(long, value_name = "TIME", value_parser = crate::time::parse)]
    pub(crate) to: Option<i64>,
    /// Only of this user or token
    #[arg(long, value_name = "NAME")]
    pub(crate) actor: Option<String>,
    /// Only this action, or those that begin with it: devices.secret, devices
    #[arg(long, value_name = "ACTION")]
    pub(crate) action: Option<String>,
    /// Only of targets that begin so: /products/MuGsF6W4
    #[arg(long, value_name = "PATH")]
    pub(crate) target: Option<String>,
    #[command(flatten)]
    pub(crate) paging: PagingArgs<50, 1000>,
}

#[derive(Debug, Args)]
pub(crate) struct AuditVerifyArgs {
    /// A file of audit export [default: the store]
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// The hash that entry number --count had, as an export or an earlier verify said
    #[arg(long, value_name = "HASH", requires = "count")]
    pub(crate) head: Option<String>,
    /// How many entries there were then
    #[arg(long, value_name = "N", requires = "head")]
    pub(crate) count: Option<u64>,
}
