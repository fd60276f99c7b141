// A command for Yarn 2 and newer: packages that only development needs go, in all workspaces, without any script running.
module.exports = {
  name: "paddock-prune",
  factory(require) {
    const { Cache, Configuration, Project, StreamReport } = require("@yarnpkg/core");
    const { Command } = require("clipanion");

    class Prune extends Command {
      async execute() {
        const { cwd, plugins, stdout } = this.context;
        const configuration = await Configuration.find(cwd, plugins);
        const { project } = await Project.find(configuration, cwd);
        const cache = await Cache.find(configuration);
        await project.restoreInstallState({ restoreResolutions: false });
        for (const { manifest } of project.workspaces) manifest.devDependencies.clear();
        const report = await StreamReport.start(
          { configuration, stdout, includeLogs: true },
          async (report) => {
            // The first word is that of Yarn 3 and newer, the second that of Yarn 2.
            const quietly = { mode: "skip-build", skipBuild: true };
            await project.install({ cache, report, persistProject: false, ...quietly });
            await project.cacheCleanup({ cache, report });
            if (project.persistInstallStateFile) await project.persistInstallStateFile();
          },
        );
        return report.exitCode();
      }
    }
    // Yarn 4 reads the words of a command from the class, older ones are told them.
    Prune.paths = [["paddock", "prune"]];
    if (Command.Path) Command.Path("paddock", "prune")(Prune.prototype, "execute");
    return { commands: [Prune] };
  },
};
