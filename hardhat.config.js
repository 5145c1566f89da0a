"use strict";

// Hardhat compiles exactly as the committed artifact was compiled, and without a network: its own step that downloads
// a compiler is replaced by one that answers with npm's.

const { subtask } = require("hardhat/config");
const { TASK_COMPILE_SOLIDITY_GET_SOLC_BUILD } = require("hardhat/builtin-tasks/task-names");

const { compiler } = require("./node/chain/VTrace.json");

subtask(TASK_COMPILE_SOLIDITY_GET_SOLC_BUILD, async ({ solcVersion }) => {
  const longVersion = require("solc").version();
  if (!longVersion.startsWith(`${solcVersion}+`)) {
    throw new Error(`solc ${solcVersion} is wanted, npm's is ${longVersion}: run npm ci`);
  }
  return { version: solcVersion, longVersion, compilerPath: require.resolve("solc/soljson.js"), isSolcJs: true };
});

/** @type import("hardhat/config").HardhatUserConfig */
module.exports = {
  solidity: { version: compiler.version, settings: compiler.settings },
  // Only what the scripts compile; artifacts and cache are Hardhat's own and not committed.
  paths: { sources: "./contracts", artifacts: "./build/hardhat/artifacts", cache: "./build/hardhat/cache" },
};
