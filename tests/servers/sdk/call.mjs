// Calls one method of the SDK and prints what it returned: node call.mjs METHOD ARGUMENTS_AS_JSON
import { Buffer } from "node:buffer";
import * as published from "@postiz/node";

const [method, given] = process.argv.slice(2);
const found = published.default?.default ?? published.default ?? published.Postiz;
const sdk = new found(process.env.SDK_KEY, process.env.SDK_BASE);
const args = JSON.parse(given).map((one) => (one?.base64 ? Buffer.from(one.base64, "base64") : one));
const answer = await sdk[method](...args);
console.log(JSON.stringify(typeof answer?.json === "function" ? await answer.json() : answer));
