//! Products: the list, a new one, one with its settings.

use super::words;

words! {
    PRODUCTS: "Products", "产品";
    NEW_PRODUCT: "New product", "新建产品";
    PRODUCTS_SEARCH: "Key or name contains", "标识或名称包含";
    PRODUCTS_NONE: "No product yet", "还没有产品";
    PRODUCTS_NONE_TEXT:
        "A product is what devices of one kind have in common: its model, its script and its secret.",
        "产品是同类设备的共同部分：物模型、脚本和产品密钥。";
    PRODUCTS_NONE_STEP: "Create the first product", "创建第一个产品";
    PRODUCTS_NONE_VIEWER: "Administrators create them.", "由管理员创建。";
    PRODUCTS_NOT_FOUND: "No product matches", "没有符合条件的产品";
    PRODUCTS_NOT_FOUND_TEXT:
        "The search looks for its text anywhere in keys and names.",
        "搜索匹配标识或名称中包含该文字的产品。";
    PRODUCTS_ALL: "Show all products", "显示所有产品";
    PRODUCTS_COUNT: "{n} product|{n} products", "{n} 个产品";
    PRODUCT_ON: "in use", "使用中";
    PRODUCT_OFF: "switched off", "已停用";
    PRODUCT_MODEL: "Thing model", "物模型";
    PRODUCT_NO_MODEL: "none: every point is taken", "无：接受所有测点";
    PRODUCT_FORMAT: "Devices speak", "设备数据格式";
    FORMAT_JSON: "JSON or CBOR", "JSON 或 CBOR";
    FORMAT_CUSTOM: "bytes, by a script", "字节（由脚本解析）";
    ACTIVATION: "Dynamic activation", "动态激活";
    ACTIVATION_IS_OFF: "off", "关闭";
    ACTIVATION_ON: "on, without end", "开启，无期限";
    ACTIVATION_UNTIL: "on, ends {time}", "开启，{time}结束";
    ACTIVATION_OVER: "ended {time}", "已于{time}结束";
    CREATED_AT: "Created", "创建时间";
    PRODUCT_CREATE_TITLE: "Create a product", "创建产品";
    PRODUCT_NAME: "Name", "名称";
    PRODUCT_NAME_HINT: "What people call it; 1 to 128 characters.", "便于识别的名称，1 到 128 个字符。";
    PRODUCT_KEY_HINT:
        "Only where devices have it already; one is made where this is empty.",
        "仅当设备已有标识时填写；留空则自动生成。";
    PRODUCT_CREATE: "Create", "创建";
    PRODUCT_CREATED_TITLE: "{product} is created", "{product} 已创建";
    PRODUCT_SECRET: "Product secret", "产品密钥";
    PRODUCT_SECRET_PSK: "DTLS key, hexadecimal", "DTLS 密钥（十六进制）";
    PRODUCT_SECRET_TEXT:
        "Devices that have no secret of their own fetch it with this one, while dynamic activation is on. \
        That it is shown is written into the audit log.",
        "没有自身密钥的设备在动态激活开启时用它获取密钥。查看操作会记入审计日志。";
    PRODUCT_SECRET_SHOW: "Show the secret", "显示密钥";
    PRODUCT_SECRET_ONCE:
        "Copy the secret now: it is not shown again unasked, and every showing is written down.",
        "请立即复制密钥：此后仅在明确请求时显示，且每次显示都会被记录。";
    PRODUCT_OPEN: "Open the product", "打开产品";
    PRODUCT_FIRST_DEVICE: "Register its first device", "注册第一台设备";
    PRODUCT_DEVICES: "Its devices", "设备";
    PRODUCT_DEVICES_TOTAL: "{n} device|{n} devices", "{n} 台设备";
    PRODUCT_DEVICES_MANY:
        "More than {n} devices. A state opens its list.",
        "超过 {n} 台设备。点击状态可打开列表。";
    PRODUCT_DEVICES_COUNT: "Count them all", "统计全部";
    PRODUCT_DEVICES_UNCOUNTED:
        "The server counts only the products with most devices by themselves; this is none of them.",
        "服务器仅单独统计设备最多的产品，此产品不在其中。";
    PRODUCT_NO_DEVICES: "No device yet: register one, or import a file.", "还没有设备：可注册一台，或导入文件。";
    PRODUCT_NO_DEVICES_VIEWER: "No device yet.", "还没有设备。";
    PRODUCT_SHOW_DEVICES: "Show them", "查看设备";
    PRODUCT_IMPORT: "Import devices", "导入设备";
    TAB_MODEL: "Thing model", "物模型";
    TAB_SCRIPT: "Script", "脚本";
    PRODUCT_FACTS: "What it is", "基本信息";
    PRODUCT_UNIT: "Organisation unit", "组织单元";
    PROFILE: "Radio", "无线类型";
    PROFILE_DEFAULT: "answers within seconds", "数秒内应答";
    PROFILE_NBIOT: "slow: NB-IoT", "慢速：NB-IoT";
    SHORT_PATHS: "Short paths", "短路径";
    SHORT_PATHS_ON: "allowed", "允许";
    SHORT_PATHS_OFF: "not allowed", "不允许";
    CONTENT_CODE: "Answer to a GET", "GET 应答码";
    CONTENT_205: "2.05, as the standard has it", "2.05（标准）";
    CONTENT_204: "2.04, for clients that take nothing else", "2.04（仅适用于特殊客户端）";
    RETENTION: "Class of retention", "保留类别";
    RETENTION_HINT:
        "A class of store.retention_classes; what is stored already stays where it is.",
        "store.retention_classes 中的类别；已存储的数据不受影响。";
    SETTINGS: "Settings", "设置";
    SETTINGS_SAVE: "Save the settings", "保存设置";
    SETTINGS_MOVED: "Open the product as it is now", "打开产品的当前状态";
    ACTIVATION_TEXT:
        "While it is on, a device that has the secret of the product may fetch a secret of its own.",
        "开启期间，持有产品密钥的设备可获取自己的密钥。";
    ACTIVATION_SWITCH: "Devices may fetch secrets", "设备可获取密钥";
    SWITCH_IS_ON: "yes", "是";
    SWITCH_IS_OFF: "no", "否";
    ACTIVATION_WINDOW: "For how long", "期限";
    WINDOW_SAME: "as it is", "保持不变";
    WINDOW_FROM_NOW: "{time} from now", "从现在起 {time}";
    WINDOW_NONE: "without end", "无期限";
    ACTIVATION_QUOTA: "At most in an hour", "每小时上限";
    ACTIVATION_SAVE: "Save the window", "保存激活设置";
    PRODUCT_ACTS: "Actions", "操作";
    PRODUCT_ENABLE: "Switch on", "启用";
    PRODUCT_DISABLE: "Switch off", "停用";
    PRODUCT_ROTATE: "Replace the secret", "更换密钥";
    PRODUCT_DELETE: "Delete", "删除";
    DOES_PRODUCT_DISABLE:
        "{product} will be switched off, with {devices}: their sessions end, and none is let in until it is \
        switched on.",
        "将停用 {product} 及其{devices}：会话结束，启用前拒绝所有设备。";
    DOES_PRODUCT_ROTATE:
        "{product} gets a new secret, which is shown once. The one that it has opens nothing any more: \
        devices that still have to fetch their own secrets need the new one. Devices with secrets of their \
        own notice nothing.",
        "{product} 将获得新密钥，仅显示一次。原密钥立即失效：尚未获取自身密钥的设备需要新密钥，已有自身密钥的设备不受影响。";
    PRODUCT_ROTATED_TITLE: "{product} has a new secret", "{product} 的密钥已更换";
    DOES_PRODUCT_DELETE:
        "{product} will be deleted with all that belongs to it: {devices} with their keys and logs, its \
        thing model, its script, its firmware images. It cannot be brought back. What its devices have \
        reported stays until its time is over.",
        "将删除 {product} 及其全部内容：{devices}及其密钥和日志、物模型、脚本、固件镜像，无法恢复。设备已上报的数据按保留期限保存。";
    DEVICES_SOME: "{n} device|{n} devices", "{n} 台设备";
    DEVICES_MANY: "more than {n} devices", "超过 {n} 台设备";
    PRODUCT_DELETING:
        "{n} device was deleted in this step, and there are more. The product is switched off. Go on until \
        nothing is left.|{n} devices were deleted in this step, and there are more. The product is switched \
        off. Go on until nothing is left.",
        "本步骤删除了 {n} 台设备，仍有剩余。产品已停用，请继续直到全部删除。";
    PRODUCT_DELETE_ON: "Go on deleting", "继续删除";
}
