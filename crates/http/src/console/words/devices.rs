//! Devices: the list, acts on many, and a new one.

use super::words;

words! {
    DEVICES: "Devices", "设备";
    NEW_DEVICE: "New device", "新建设备";
    FILTER: "Filter", "筛选";
    MORE_FILTERS: "More filters, and the order", "更多筛选与排序";
    FILTER_ANY: "any", "不限";
    FILTER_STATE: "State", "状态";
    FILTER_PRODUCT: "Product key", "产品标识";
    FILTER_TAG: "Tag, as key:value", "标签（键:值）";
    FILTER_FIRMWARE: "Firmware version", "固件版本";
    FILTER_SILENT: "Not heard for", "未收到消息";
    FILTER_SORT: "Order", "排序";
    SORT_CREATED: "oldest first", "最早注册在前";
    SORT_NEWEST: "newest first", "最新注册在前";
    SORT_KEY: "by key", "按标识";
    FILTER_UNKNOWN:
        "{name}: {value} is not known. No devices were looked for.",
        "{name}：无法识别“{value}”，未查询设备。";
    CHIP: "{name}: {value}", "{name}：{value}";
    CHIP_SEARCH: "begins with", "开头为";
    KEY: "Key", "标识";
    NAME: "Name", "名称";
    STATE: "State", "状态";
    LAST_SEEN: "Last seen", "最近消息";
    LIFETIME_COLUMN: "Lifetime", "生命周期";
    NO_DEVICES: "No device yet", "还没有设备";
    NO_DEVICES_TEXT:
        "Each device that is registered will stand here, with its state and when it was heard last.",
        "注册的设备会显示在这里，包括状态和最近消息时间。";
    NO_DEVICES_STEP: "Register the first device", "注册第一台设备";
    NONE_FOUND: "No device matches", "没有符合条件的设备";
    NONE_FOUND_TEXT:
        "A device has to match all filters; the search looks at how keys and names begin.",
        "所有条件须同时满足，搜索匹配开头的文字。";
    NONE_FOUND_STEP: "Clear all filters", "清除所有筛选";
    MORE_BEHIND:
        "No device of this part of the list matches; there may be more on the next page.",
        "这一部分列表没有符合条件的设备，后面可能还有。";
    CHOOSE: "Choose {name}", "选择 {name}";
    WITH_CHOSEN: "With the chosen devices", "对所选设备";
    WITH_EVERY: "With all devices", "对全部设备";
    WITH_ALL: "With all of this filter", "对筛选出的全部设备";
    ACT: "What to do", "操作";
    ACT_ENABLE: "switch on", "启用";
    ACT_DISABLE: "switch off", "停用";
    ACT_DELETE: "delete", "删除";
    ACT_TAG: "set a tag", "设置标签";
    TAG_KEY: "Tag to set: key", "标签键（设置标签时）";
    TAG_VALUE: "Value; empty removes the tag", "值（留空则移除标签）";
    BULK_TITLE: "Act on many devices", "批量操作设备";
    BULK_NONE_CHOSEN:
        "No device was chosen. Choose some in the list, or act on all of the filter.",
        "未选择设备，请在列表中选择，或对筛选结果全部操作。";
    BULK_UNKNOWN:
        "Nothing was done: it is not known what is to be done to the devices.",
        "未执行任何操作：无法识别要对设备执行的操作。";
    BULK_NOT_ASKED:
        "Nothing was done: this was not asked in your session. Choose the devices in the list, and what to \
        do with them.",
        "未执行任何操作：这不是您本次登录中确认的操作，请在列表中重新选择设备和操作。";
    CHOOSE_DEVICES: "Choose devices", "选择设备";
    BULK_COUNTING: "They are being counted: {n} so far.", "正在统计：目前 {n} 台。";
    DOES_ENABLE:
        "{n} device will be switched on and may connect again.|{n} devices will be switched on and may \
        connect again.",
        "将启用 {n} 台设备，设备可重新连接。";
    DOES_DISABLE:
        "{n} device will be switched off: its session ends, and it is refused until it is switched \
        on.|{n} devices will be switched off: their sessions end, and they are refused until they are \
        switched on.",
        "将停用 {n} 台设备：会话结束，启用前拒绝连接。";
    DOES_DELETE:
        "{n} device will be deleted, with its keys; it cannot be brought back.|{n} devices will be \
        deleted, with their keys; they cannot be brought back.",
        "将删除 {n} 台设备及其密钥，无法恢复。";
    DOES_TAG:
        "The tag {tag} of {n} device will be set.|The tag {tag} of {n} devices will be set.",
        "将为 {n} 台设备设置标签 {tag}。";
    ACT_TAG_GO: "Set the tag", "设置标签";
    BULK_NOTHING: "No device is concerned: nothing is to be done.", "没有涉及的设备，无需操作。";
    JOBS: "Jobs", "任务";
    JOBS_SHOW: "Show all jobs", "查看所有任务";
    DEVICES_SHOW: "Show the devices", "查看设备";
    JOB: "Job", "任务";
    JOB_COUNTING: "counting", "统计中";
    JOB_RUNNING: "running", "进行中";
    JOB_DONE: "done", "已完成";
    JOB_CANCELLED: "cancelled", "已取消";
    JOB_FAILED: "failed", "失败";
    JOB_MATCHED: "Devices", "设备数";
    JOB_CHANGED: "Changed", "已更改";
    JOB_UNCHANGED: "Already so", "原本如此";
    JOB_FAULTS: "Not changed", "未更改";
    JOB_BEGUN: "Begun", "开始";
    JOB_ENDED: "Ended", "结束";
    JOB_CANCEL: "Stop here", "停止";
    JOB_MORE_FAULTS: "{n} more was not changed.|{n} more were not changed.", "另有 {n} 台未更改。";
    JOB_DRY: "a count, which changed nothing", "仅统计，未作更改";
    NO_JOBS: "No job yet", "没有任务";
    NO_JOBS_TEXT:
        "What is done to many devices stands here, with its progress, until the server ends.",
        "批量操作及其进度会显示在这里，直到服务器停止。";
    WHAT_IS_WRONG: "What is wrong", "问题";
    CREATE_TITLE: "Register a device", "注册设备";
    CREATE_PRODUCT: "Product", "产品";
    CREATE_KEY: "Device key", "设备标识";
    CREATE_KEY_HINT:
        "4 to 64 letters, digits, _ . : or -; one is made where this is empty.",
        "4 到 64 个字母、数字、_ . : 或 -；留空则自动生成。";
    CREATE_NAME: "Name", "名称";
    CREATE_NAME_HINT: "What people call it; may be empty.", "便于识别的名称，可留空。";
    CREATE: "Register", "注册";
    CREATE_NO_PRODUCT: "There is no product yet: a device belongs to one.", "还没有产品，设备必须属于某个产品。";
    CREATED_TITLE: "{device} is registered", "{device} 已注册";
    SECRET_ONCE:
        "Copy the secret now: it is not shown again unasked, and every showing is written down.",
        "请立即复制密钥：此后仅在明确请求时显示，且每次显示都会被记录。";
    SECRET: "Device secret", "设备密钥";
    ASSET: "Asset id", "资产编号";
    WAIT_FOR_IT: "Wait for the device", "等待设备连接";
}
