// Workers of node beside its own pool of threads.
const { Worker, isMainThread, parentPort, workerData } = require("worker_threads");
const { pbkdf2Sync } = require("crypto");
const { readFile } = require("fs/promises");

if (!isMainThread) {
  parentPort.postMessage(pbkdf2Sync(`word ${workerData}`, "salt", 1000, 8, "sha256").toString("hex"));
} else {
  const ask = (i) =>
    new Promise((resolve, reject) => {
      const worker = new Worker(__filename, { workerData: i });
      worker.on("message", resolve);
      worker.on("error", reject);
    });
  Promise.all([0, 1, 2, 3].map(ask)).then(async (answers) => {
    console.log(answers);
    const texts = await Promise.all(Array.from({ length: 20 }, () => readFile(__filename, "utf8")));
    console.log(texts.every((text) => text === texts[0]));
    setTimeout(() => process.exit(6), 1);
  });
}
