//! Import of devices from a file.

use super::words;

words! {
    IMPORT: "Import", "导入";
    IMPORT_TITLE: "Import devices from a file", "从文件导入设备";
    IMPORT_TEXT:
        "A file of CSV with a header, or of JSON lines. Each row needs a deviceKey; deviceSecret and name \
        may be missing: a secret is made then. Try it first: a dry run changes nothing, and shows each \
        fault with its line.",
        "带表头的 CSV 文件或 JSON 行文件。每行需要 deviceKey；deviceSecret 和 name 可省略，密钥会自动生成。建议先试运行：不作任何更改，并按行显示问题。";
    IMPORT_LIMIT:
        "At most {size}. Longer files go by the command line: narrowgate device import FILE --product PK",
        "最大 {size}。更大的文件请使用命令行：narrowgate device import FILE --product PK";
    IMPORT_FILE: "File", "文件";
    IMPORT_MODE: "Where rows have faults", "若有行出错";
    IMPORT_VALID: "import the others", "导入其余行";
    IMPORT_ALL: "import none", "全部不导入";
    IMPORT_TRY: "Dry run", "试运行";
    IMPORT_GO: "Import", "导入";
    IMPORT_EXAMPLE: "A file of three devices", "三台设备的文件示例";
    IMPORT_NO_PRODUCT: "There is no product yet: devices belong to one.", "还没有产品，设备必须属于某个产品。";
    IMPORT_NO_FILE: "No file was chosen, or it is empty.", "未选择文件，或文件为空。";
    IMPORT_LONG: "The file has more than {size}.", "文件超过 {size}。";
    IMPORT_BUSY: "Too many files are here at once. Try again in a moment.", "同时处理的文件过多，请稍后重试。";
    IMPORT_GONE: "There is no such import, or it is somebody else's.", "没有此导入，或属于其他用户。";
    IMPORT_OF: "{file} into {product}", "{file} 导入 {product}";
    IMPORT_DRY: "dry run", "试运行";
    IMPORT_RUNNING: "running", "进行中";
    IMPORT_DONE: "done", "已完成";
    IMPORT_FAULTY: "done, with faults", "已完成，有错误";
    IMPORT_REFUSED: "ended early", "提前结束";
    IMPORT_READ: "{read} of {size} read", "已读取 {read}，共 {size}";
    IMPORT_SAID_DRY:
        "{n} device would be created.|{n} devices would be created.",
        "将创建 {n} 台设备。";
    IMPORT_SAID: "{n} device was created.|{n} devices were created.", "已创建 {n} 台设备。";
    IMPORT_SAID_NOTHING: "Nothing has been changed.", "未作任何更改。";
    IMPORT_CREATED: "Created", "已创建";
    IMPORT_WOULD_CREATE: "Would be created", "将创建";
    IMPORT_SKIPPED: "Exist already", "已存在";
    IMPORT_FAILED: "Rows with faults", "出错行";
    IMPORT_WEAK: "Secrets that may be guessed", "可能被猜出的密钥";
    IMPORT_WEAK_SAID:
        "{n} secret; the weakest is in line {line}|{n} secrets; the weakest is in line {line}",
        "{n} 个密钥，最弱的在第 {line} 行";
    IMPORT_LINE: "Line", "行";
    IMPORT_COLUMN: "Column", "列";
    IMPORT_MORE: "{n} more has a fault.|{n} more have faults.", "另有 {n} 行出错。";
    IMPORT_NOW: "Import this file now", "立即导入此文件";
    IMPORT_NOW_HINT:
        "The file is kept for ten minutes after its dry run, so that it need not be sent again.",
        "试运行后文件保留十分钟，无需重新上传。";
    IMPORT_AGAIN: "Another file", "导入其他文件";
    IMPORT_SECRETS: "Download the secrets", "下载密钥";
    IMPORT_SECRETS_TEXT:
        "Secrets were made for devices whose rows had none. The file is there once, and for an hour: keep it \
        where nobody else reads.",
        "已为没有密钥的行生成密钥。文件只能下载一次，一小时内有效，请妥善保存。";
    IMPORT_DEVICES: "Show the devices", "查看设备";
    IMPORT_LIST: "Your imports", "您的导入";
    IMPORT_LIST_TEXT: "They stand here until the server ends.", "保留到服务器停止为止。";
    IMPORT_BEGUN: "Begun", "开始";
}
