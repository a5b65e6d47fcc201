//! The thing model of a product.

use super::words;

words! {
    MODEL_NONE: "No thing model", "没有物模型";
    MODEL_NONE_TEXT:
        "Whatever devices report is taken as it is. With a model, reports are checked, and values have \
        types and units.",
        "设备上报的内容会原样接受。设置物模型后，上报会被校验，数值带有类型和单位。";
    MODEL_NONE_STEP:
        "Add an element below, write it as JSON, or draft it from what devices have sent.",
        "可在下方添加元素、编写 JSON，或根据设备上报生成草稿。";
    MODEL_NONE_VIEWER: "Administrators write it.", "由管理员编写。";
    MODEL_EDITOR: "The model, as JSON", "物模型（JSON）";
    MODEL_LOOK: "See what changes", "查看变更";
    MODEL_INFER: "Draft it from what devices have sent", "根据设备上报生成草稿";
    MODEL_INFERRED:
        "Made of what {n} device has sent.|Made of what {n} devices have sent.",
        "根据 {n} 台设备的上报生成。";
    MODEL_LEFT_OUT: "Left out:", "未包含：";
    MODEL_SAVE: "Save this model", "保存此物模型";
    MODEL_CHANGES: "What changes", "变更内容";
    MODEL_NO_CHANGE: "Nothing changes: the product has this model.", "没有变更：产品已使用此物模型。";
    MODEL_CHANGES_HINT:
        "It counts from the next report on. Nothing that is stored is changed.",
        "从下一次上报起生效，已存储的数据不变。";
    MODEL_ADDED: "added", "新增";
    MODEL_REMOVED: "removed", "移除";
    MODEL_CHANGED: "changed", "更改";
    MODEL_CHANGE: "Change", "变更";
    MODEL_SAYS: "Before and after", "变更前后";
    MODEL_MORE: "{n} more is not shown.|{n} more are not shown.", "另有 {n} 项未显示。";
    MODEL_MOVED:
        "Somebody else has changed the model meanwhile. Below is what your draft changes of the model as it \
        is now.",
        "其他人已更改物模型。下方显示您的草稿相对于当前物模型的变更。";
    MODEL_WRONG: "This is not a model yet", "这还不是有效的物模型";
    MODEL_AT: "Line {line}, column {column}", "第 {line} 行，第 {column} 列";
    MODEL_ELEMENTS: "Its elements", "元素";
    MODEL_NO_ELEMENTS: "It has none yet. Add one here, or write it into the JSON.", "还没有元素，可在此添加，或直接编辑 JSON。";
    MODEL_NO_ELEMENTS_VIEWER: "It has none.", "没有元素。";
    MODEL_KIND: "Kind", "类别";
    MODEL_POINT: "measurepoint", "测点";
    MODEL_ATTRIBUTE: "attribute", "属性";
    MODEL_SERVICE: "service", "服务";
    MODEL_EVENT: "event", "事件";
    MODEL_HEAD: "the model itself", "物模型本身";
    MODEL_IDENTIFIER: "Identifier", "标识符";
    MODEL_TYPE: "Type", "类型";
    MODEL_UNIT: "Unit", "单位";
    MODEL_TAKE: "Remove", "移除";
    MODEL_ADD: "Add", "添加";
    MODEL_ADD_TITLE: "Add an element", "添加元素";
    MODEL_ADD_WRONG:
        "An element needs an identifier of 1 to 128 letters, digits, _ . or -, and the JSON must be right \
        before one is added.",
        "元素需要 1 到 128 个字母、数字、_ . 或 - 组成的标识符，且添加前 JSON 必须正确。";
    MODEL_EXAMPLE: "A report that fits", "符合物模型的上报示例";
    MODEL_EXAMPLE_TO: "A device sends it by POST to", "设备用 POST 发送到";
    MODEL_EXAMPLE_NONE: "The model has no measurepoint: there is nothing to report.", "物模型没有测点，无可上报内容。";
    MODEL_EXAMPLE_SOME: "With the first {n} points.", "仅含前 {n} 个测点。";
    MODEL_VERSIONS: "Versions", "版本";
    MODEL_VERSION: "Version {n}", "版本 {n}";
    MODEL_VERSION_NONE: "without a model", "无物模型";
    MODEL_VERSION_NOW: "now", "当前";
    MODEL_VERSION_LOADED:
        "This is version {n}. See what it changes, and save it to bring it back.",
        "这是版本 {n}。可查看其变更并保存以恢复。";
}
