//! The short lists: products, tokens, users, organisation units, firmware and its rollouts.

use narrowgate_api::{
    access::{TokenView, UnitView},
    device::{DeviceListed, DeviceRow},
    firmware::{ImageView, RolloutRow, UpgradeView},
    product::{ProductRow, ProductView},
    user::UserView,
};

use super::{Cells, Row, device_cells};

fn flag(cells: &mut Cells<'_>, is_on: bool) {
    cells.text(if is_on { "true" } else { "false" });
}

/// The columns are the same, whatever else the list was asked for.
impl Row for DeviceListed {
    const COLUMNS: &'static [&'static str] = <DeviceRow as Row>::COLUMNS;

    fn cells(&self, cells: &mut Cells<'_>) {
        match self {
            Self::More(more) => device_cells(&more.device, cells),
            Self::Row(row) => row.cells(cells),
        }
    }
}

impl Row for ProductRow {
    const COLUMNS: &'static [&'static str] = &[
        "productKey",
        "name",
        "ou",
        "enabled",
        "dynamicActivationEnabled",
        "dynamicActivationEndsAt",
        "dynamicActivationQuotaPerHour",
        "profile",
        "shortPaths",
        "dataFormat",
        "contentCode",
        "modelId",
        "retention",
        "createdAt",
    ];

    fn cells(&self, cells: &mut Cells<'_>) {
        match self {
            Self::Intact(product) => product_cells(product, cells),
            // As of a device: nothing but its key is known.
            Self::Damaged(product) => {
                cells.text(&product.product_key).text("").text("").text("damaged");
                (4..Self::COLUMNS.len()).for_each(|_| {
                    cells.number(None);
                });
            }
        }
    }
}

fn product_cells(product: &ProductView, cells: &mut Cells<'_>) {
    cells.text(&product.product_key).text(&product.name).text(&product.ou);
    flag(cells, product.enabled);
    let activation = &product.dynamic_activation;
    flag(cells, activation.enabled);
    cells.time(activation.ends_at).number(Some(activation.quota_per_hour.into())).word(&product.profile);
    flag(cells, product.short_paths);
    cells.word(&product.data_format).word(&product.content_code);
    cells.text(product.model_id.as_deref().unwrap_or_default()).text(&product.retention);
    cells.time(Some(product.created_at));
}

impl Row for TokenView {
    const COLUMNS: &'static [&'static str] = &["name", "role", "ou", "createdAt", "expiresAt"];

    fn cells(&self, cells: &mut Cells<'_>) {
        cells.text(&self.name).word(&self.role).text(self.ou.as_deref().unwrap_or_default());
        cells.time(Some(self.created_at)).time(self.expires_at);
    }
}

impl Row for UserView {
    const COLUMNS: &'static [&'static str] = &["user", "role", "ou", "state", "createdAt", "linkExpiresAt"];

    fn cells(&self, cells: &mut Cells<'_>) {
        cells.text(&self.user).word(&self.role).text(self.ou.as_deref().unwrap_or_default());
        cells.word(&self.state).time(Some(self.created_at)).time(self.link_expires_at);
    }
}

impl Row for UnitView {
    const COLUMNS: &'static [&'static str] = &[
        "ou",
        "name",
        "createdAt",
        "suspendedAt",
        "quotaProducts",
        "quotaDevices",
        "quotaReportsPerDay",
        "reportsToday",
    ];

    fn cells(&self, cells: &mut Cells<'_>) {
        cells.text(&self.ou).text(&self.name).time(self.created_at).time(self.suspended_at);
        let quotas = &self.quotas;
        for number in [quotas.products, quotas.devices, quotas.reports_per_day, self.reports_today] {
            cells.number(number.map(i64::from));
        }
    }
}

impl Row for ImageView {
    const COLUMNS: &'static [&'static str] = &[
        "imageId",
        "productKey",
        "version",
        "size",
        "sha256",
        "uploadedAt",
        "file",
        "share",
        "pausedBy",
        "since",
    ];

    fn cells(&self, cells: &mut Cells<'_>) {
        cells.text(&self.image_id).text(&self.product_key).text(&self.version);
        cells.number(i64::try_from(self.size).ok()).text(&self.sha256).time(Some(self.uploaded_at));
        let rollout = self.rollout;
        cells.word(&self.file).number(rollout.and_then(|rollout| rollout.share).map(i64::from));
        cells.word(&rollout.and_then(|rollout| rollout.paused_by)).time(rollout.map(|rollout| rollout.since));
    }
}

impl Row for RolloutRow {
    const COLUMNS: &'static [&'static str] =
        &["imageId", "productKey", "version", "share", "paused", "pausedBy", "since"];

    fn cells(&self, cells: &mut Cells<'_>) {
        cells.text(&self.image_id).text(&self.product_key).text(&self.version);
        cells.number(self.share.map(i64::from));
        flag(cells, self.paused);
        cells.word(&self.paused_by).time(Some(self.since));
    }
}

impl Row for UpgradeView {
    const COLUMNS: &'static [&'static str] =
        &["productKey", "deviceKey", "state", "reason", "progress", "desc", "attempts", "since", "movedAt"];

    fn cells(&self, cells: &mut Cells<'_>) {
        cells.text(&self.product_key).text(&self.device_key).word(&self.state).word(&self.reason);
        cells.number(self.progress.map(i64::from)).text(self.desc.as_deref().unwrap_or_default());
        cells.number(Some(self.attempts.into())).time(Some(self.since)).time(Some(self.moved_at));
    }
}

#[cfg(test)]
mod tests {
    use narrowgate_api::product::DamagedProductView;
    use serde::de::DeserializeOwned;

    use super::*;
    use crate::table::Lines;

    fn csv<T: Row + DeserializeOwned>(json: &str) -> String {
        line(&serde_json::from_str::<T>(json).expect("it has the form of one"))
    }

    /// One row, of as many cells as there are columns.
    fn line<T: Row>(row: &T) -> String {
        let mut out = String::new();
        Lines::Csv.write(row, &mut out).expect("it can be written");
        let cells = out.matches(',').count() + 1;
        assert_eq!(cells, T::COLUMNS.len(), "{out}");
        out
    }

    #[test]
    fn attack_174_what_somebody_called_something_is_no_formula_in_a_short_list() {
        let token = r#"{"name":"=cmd()","role":"viewer","ou":null,"createdAt":7,"expiresAt":9}"#;
        assert_eq!(csv::<TokenView>(token), "'=cmd(),viewer,,7,9\r\n");
        let user = r#"{"user":"@ann","role":"operator","ou":"o1","state":"active","createdAt":7,
            "linkExpiresAt":null}"#;
        assert_eq!(csv::<UserView>(user), "'@ann,operator,o1,active,7,\r\n");
        let unit = r#"{"ou":"o1","name":"+north","createdAt":7,"suspendedAt":null,"reportsToday":3,
            "quotas":{"products":1,"devices":null,"reportsPerDay":2}}"#;
        assert_eq!(csv::<UnitView>(unit), "o1,'+north,7,,1,,2,3\r\n");
        let rollout = r#"{"imageId":"Ab3dEf7h","productKey":"pk","version":"=1","share":20,"paused":true,
            "pausedBy":"failures","since":7}"#;
        assert_eq!(csv::<RolloutRow>(rollout), "Ab3dEf7h,pk,'=1,20,true,failures,7\r\n");
        let upgrade = r#"{"productKey":"pk","deviceKey":"dk","state":"failed","reason":"burn","progress":-4,
            "desc":"=no room","attempts":2,"since":7,"movedAt":9}"#;
        assert_eq!(csv::<UpgradeView>(upgrade), "pk,dk,failed,burn,-4,'=no room,2,7,9\r\n");
    }

    #[test]
    fn a_product_and_an_image_have_a_cell_for_all_that_is_said_of_them() {
        let product = r#"{"productKey":"pk","name":"=n","ou":"o1","enabled":true,"dynamicActivation":
            {"enabled":false,"endsAt":null,"quotaPerHour":1000},"profile":"nbiot","shortPaths":false,
            "dataFormat":"custom","contentCode":"2.04","modelId":null,"retention":"standard","createdAt":7}"#;
        let product: ProductView = serde_json::from_str(product).expect("it has the form of one");
        assert_eq!(
            line(&ProductRow::Intact(Box::new(product))),
            "pk,'=n,o1,true,false,,1000,nbiot,false,custom,2.04,,standard,7\r\n"
        );
        let damaged = r#"{"productKey":"pk","damaged":true,"id":"id:7","detail":"row 7"}"#;
        let damaged: DamagedProductView = serde_json::from_str(damaged).expect("it has the form of one");
        assert_eq!(line(&ProductRow::Damaged(damaged)), "pk,,,damaged,,,,,,,,,,\r\n");
        let image = r#"{"imageId":"Ab3dEf7h","productKey":"pk","version":"1","size":9,"sha256":"00",
            "uploadedAt":7,"file":"stored","rollout":{"share":null,"pausedBy":null,"since":8}}"#;
        assert_eq!(csv::<ImageView>(image), "Ab3dEf7h,pk,1,9,00,7,stored,,,8\r\n");
    }
}
