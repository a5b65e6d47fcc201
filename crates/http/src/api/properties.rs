//! Attributes and tags of a device, with entity tags: who changes what he has read says so by If-Match
//! (RFC 9110, section 13.1.1), and changes nothing that somebody else has changed since.

use narrowgate_api::{
    device::NamedDevice,
    properties::{PropertiesPatch, PropertiesView},
};
use narrowgate_platform::{
    model::{access::Needs, property::PropertyKind},
    service::{IfMatch, Others, PropertiesEdit, entity_tag},
};

use super::{
    Api,
    asked::{Asked, Routes},
    conditions::{Tagged, need, tagged},
    extract::{Body, Matching, Named, Replacing},
};
use crate::problem::Refused;

/// All of them, with their entity tag.
type All = Tagged<PropertiesView>;

pub(super) fn routes() -> Routes {
    let mut routes = Routes::default();
    for device in super::DEVICE_PATHS {
        routes = shown_and_edited(routes, &format!("{device}/attributes"), PropertyKind::Attribute);
        let tags = format!("{device}/tags");
        routes = shown_and_edited(routes, &tags, PropertyKind::Tag).put(&tags, Needs::Operate, replace_tags);
    }
    routes
}

fn shown_and_edited(routes: Routes, path: &str, kind: PropertyKind) -> Routes {
    let show = async move |Asked(api): Asked, Named(name): Named| -> Result<All, Refused> {
        Ok(tagged(api.operator.show_properties(&name, kind).await?))
    };
    let patch = async move |Asked(api): Asked,
                            Named(name): Named,
                            Matching(if_match): Matching,
                            Body(patch): Body<PropertiesPatch>| {
        edit(&api, &name, PropertiesEdit { kind, patch, others: Others::Stay, if_match }).await
    };
    routes.get(path, Needs::Read, show).patch(path, Needs::Operate, patch)
}

async fn replace_tags(
    Asked(api): Asked,
    Named(name): Named,
    Replacing { if_match, is_given }: Replacing,
    Body(PropertiesView(tags)): Body<PropertiesView>,
) -> Result<All, Refused> {
    let present = async || api.operator.show_properties(&name, PropertyKind::Tag).await;
    let is_there = async { Ok(!present().await?.0.is_empty()) };
    need(is_given, ("cannot change the device's tags", "what the device is tagged with"), is_there).await?;
    // Without a condition there were none: of these alone, whoever sets some meanwhile.
    let none = || IfMatch(vec![entity_tag(&PropertiesView::default())]);
    let if_match = if is_given { if_match } else { Some(none()) };
    let patch = PropertiesPatch(tags.into_iter().map(|(key, value)| (key, Some(value))).collect());
    let edit_all = PropertiesEdit { kind: PropertyKind::Tag, patch, others: Others::Go, if_match };
    edit(&api, &name, edit_all).await
}

async fn edit(api: &Api, name: &NamedDevice, edit: PropertiesEdit) -> Result<All, Refused> {
    Ok(tagged(api.operator.edit_properties(name, edit).await?))
}
