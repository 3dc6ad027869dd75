// Starts a PDS with its directory on this machine only, prints one line of JSON about it, and ends with its input.
import net from "node:net";

const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (port, ...rest) {
  // The development environment listens on every interface; a test server has no business there.
  return typeof port === "number" || /^\d+$/.test(port)
    ? listen.call(this, { port: Number(port), host: "127.0.0.1" }, rest.find((one) => typeof one === "function"))
    : listen.call(this, port, ...rest);
};

const { TestNetworkNoAppView } = await import("@atproto/dev-env");
const network = await TestNetworkNoAppView.create({});
const seed = network.getSeedClient();
const accounts = {};
for (const name of ["alice", "bob"]) {
  const account = { handle: `${name}.test`, email: `${name}@example.org`, password: `${name}-pass` };
  const { did } = await seed.createAccount(name, account);
  accounts[name] = { ...account, did };
}
console.log(JSON.stringify({ url: network.pds.url, plc: network.plc.url, accounts }));

process.stdin.resume();
process.stdin.on("end", async () => {
  await network.close();
  process.exit(0);
});
