//! Reports and refusals over time, the page of refusals, and the data of a device.

use super::words;

words! {
    DAY_OF_REPORTS: "Reports per minute over 24 hours", "24 小时内每分钟上报数";
    DAY_OF_REPORTS_SAID: "{now} in the newest 5 minutes, at most {most}.", "最近 5 分钟 {now}，最高 {most}。";
    DAY_OF_REPORTS_NONE: "None counted in the last 24 hours; the minute that runs is not counted yet.",
        "最近 24 小时未计入任何上报；当前这一分钟尚未计入。";
    DAY_OF_REFUSALS: "Refusals by reason over 24 hours", "24 小时内按原因统计的拒绝次数";
    DAY_OF_REFUSALS_SAID: "{n} in all, each bar a quarter of an hour.", "共 {n} 次，每个柱表示一刻钟。";
    DAY_OF_REFUSALS_GAPS: "Where the line is dotted no server ran, or what it counted is lost.",
        "虚线处表示当时服务器未运行，或统计已丢失。";
    DAY_OF_REFUSALS_NONE: "None counted in the last 24 hours; the minute that runs is not counted yet.",
        "最近 24 小时未计入任何拒绝；当前这一分钟尚未计入。";
    OTHER_REASONS: "other reasons", "其他原因";
    AS_A_TABLE: "As a table", "以表格显示";
    BY_HOUR: "Hour", "小时";
    COUNTS_UNREAD: "The counts of the day cannot be read now.", "目前无法读取当天的统计数据。";
    NOT_KNOWN_WHY: "Where a row is missing no server ran, or what it counted is lost.",
        "缺少的行表示当时服务器未运行，或统计已丢失。";
    REPORTS: "Reports", "上报";
    REFUSALS: "Refusals", "拒绝记录";
    REFUSALS_LEAD: "Who was not let in, or not served, and why. Open a row for what was offered and what \
         to do.",
        "谁未能接入或未被服务，以及原因。展开一行可查看其提供的内容与处理建议。";
    REFUSALS_LOOKED_AT: "{n} refusal is grouped here.|The newest {n} refusals are grouped here.",
        "此处统计最近 {n} 条拒绝记录。";
    REFUSALS_EMPTY: "Nothing was refused", "没有拒绝记录";
    REFUSALS_EMPTY_TEXT: "A device that cannot get in stands here within a second, with the reason and \
         what to do about it.",
        "无法接入的设备会在一秒内出现在这里，并附上原因与处理建议。";
    REFUSALS_NO_MATCH: "None of these refusals matches the filters.", "这些拒绝记录中没有符合筛选条件的。";
    REFUSALS_CLEAR: "Clear all filters", "清除筛选";
    BY_REASON: "By reason", "按原因";
    BY_PRODUCT_OF: "By product", "按产品";
    BY_SOURCE: "By source", "按来源";
    STRANGERS: "no known product", "未知产品";
    NO_SOURCE: "no address", "无地址";
    WHO: "Who", "对象";
    SOURCE: "Source", "来源";
    OFFERED: "What was offered", "对方提供的内容";
    EXPECTED: "What is expected", "期望的内容";
    MISTAKE: "The probable mistake", "可能的错误";
    MISTAKE_NONE: "It is not known which one.", "无法判断。";
    CODE_NUMBER: "Code", "代码";
    EXPECTED_IDENTITY: "productKey,deviceKey,2,lifetime with the secret of the device; mode 3 with that \
         of the product",
        "productKey,deviceKey,2,lifetime，使用设备密钥；模式 3 使用产品密钥";
    EXPECTED_SERVED: "A request of this device's own topics, in the form that the guide for devices has",
        "符合设备指南格式、且属于该设备自身主题的请求";
    EXPECTED_DTLS: "DTLS 1.2 with a pre-shared key, by TLS_PSK_WITH_AES_128_CCM_8 or \
         TLS_PSK_WITH_AES_128_CBC_SHA256",
        "DTLS 1.2 预共享密钥，套件为 TLS_PSK_WITH_AES_128_CCM_8 或 TLS_PSK_WITH_AES_128_CBC_SHA256";
    EXPECTED_NOTHING: "Nothing else: what was offered is in order", "无需更改：对方提供的内容正确";
    OPEN_DEVICE: "Open the device", "打开该设备";
    DATA: "Data", "数据";
    DATA_LAST: "Last", "最近";
    DATA_LAST_HOUR: "1 hour", "1 小时";
    DATA_LAST_DAY: "24 hours", "24 小时";
    DATA_LAST_WEEK: "7 days", "7 天";
    DATA_LAST_MONTH: "30 days", "30 天";
    DATA_BEFORE: "Earlier", "更早一段";
    DATA_AFTER: "Later", "更晚一段";
    DATA_SPAN: "{from} to {to}", "{from} 至 {to}";
    DATA_DRAG: "Drag over a chart to look closer; the value of all at that time stands above each.",
        "在图上拖动可放大；每张图上方显示该时刻的数值。";
    DATA_FROM: "From", "起始";
    DATA_TO: "To", "结束";
    DATA_SHOW: "Show", "显示";
    DATA_EMPTY: "No values yet", "还没有数据";
    DATA_EMPTY_TEXT: "Every point that the device reports gets a chart here, with its values below.",
        "设备上报的每个测点都会在这里显示图表，下方是数值。";
    DATA_EMPTY_STEP: "Show how to connect it", "查看连接方法";
    DATA_NONE_HERE: "Nothing was reported in this time.", "该时间段内没有上报。";
    DATA_LINE_SAID: "{n} value from {min} to {max}.|{n} values from {min} to {max}.",
        "共 {n} 个值，范围 {min} 至 {max}。";
    DATA_LAST_ALONE: "There are very many values: the last one of each {time} is drawn, from {min} to {max}. \
         Choose a shorter time to see all.",
        "数值很多：仅绘制每{time}的最后一个值，范围 {min} 至 {max}。选择更短的时间可查看全部。";
    DATA_COUNT_SAID: "{n} value.|{n} values.", "共 {n} 个值。";
    DATA_NEWEST_ALONE: "Only the newest {n} are drawn: choose a shorter time.|Only the newest {n} are \
         drawn: choose a shorter time.",
        "仅绘制最近的 {n} 个，请选择更短的时间。";
    DATA_MORE_POINTS: "More points", "更多测点";
    DATA_VALUES: "Values, newest first", "数值（最新在前）";
    DATA_POINT: "Point", "测点";
    DATA_VALUE: "Value", "数值";
    DATA_QUALITY: "Quality", "质量";
    DATA_CROWDED: "There are too many values for one chart: choose a shorter time.", "数值过多，无法绘制：请选择更短的时间。";
    DATA_OTHER_WORDS: "others", "其他";
    EXPORT: "Export", "导出";
    EXPORT_CSV: "CSV", "CSV 文件";
    EXPORT_LINES: "JSON lines", "JSON 行";
}
