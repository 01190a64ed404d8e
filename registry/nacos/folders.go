// SPDX-License-Identifier: Apache-2.0

package nacos

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/config_center"
	"dubbo.apache.org/dubbo-go/v3/metadata/report"
)

// separateFolders gives dubbo-go's config centre and metadata report on Nacos, which
// run on the SDK, a cache and a log folder of this process: the SDK's default lies
// beside the executable, where all processes write the same files.
func separateFolders() {
	reports := extension.GetMetadataReportFactory(Name)
	extension.SetMetadataReportFactory(Name, func() report.MetadataReportFactory { return reportFactory{reports} })
	centers, err := extension.GetConfigCenterFactory(Name)
	if err != nil {
		return // then nobody has imported it
	}
	extension.SetConfigCenterFactory(Name, func() config_center.DynamicConfigurationFactory { return centerFactory{centers} })
}

type reportFactory struct{ report.MetadataReportFactory }

func (f reportFactory) CreateMetadataReport(u *common.URL) report.MetadataReport {
	ownFolders(u)
	return f.MetadataReportFactory.CreateMetadataReport(u)
}

type centerFactory struct {
	config_center.DynamicConfigurationFactory
}

func (f centerFactory) GetDynamicConfiguration(u *common.URL) (config_center.DynamicConfiguration, error) {
	ownFolders(u)
	return f.DynamicConfigurationFactory.GetDynamicConfiguration(u)
}

// ownFolders sets what the user has not set.
func ownFolders(u *common.URL) {
	base := filepath.Join(os.TempDir(), "graylane-nacos-"+strconv.Itoa(os.Getuid()))
	sweep(base)
	own := filepath.Join(base, strconv.Itoa(os.Getpid()))
	for key, name := range map[string]string{constant.NacosCacheDirKey: "cache", constant.NacosLogDirKey: "log"} {
		if u.GetParam(key, "") == "" {
			u.SetParam(key, filepath.Join(own, name))
		}
	}
}

// sweep removes the folders of processes that are no more.
func sweep(base string) {
	entries, err := os.ReadDir(base)
	if err != nil {
		return // there is none
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		p, err := os.FindProcess(pid)
		if err == nil {
			err = p.Signal(syscall.Signal(0))
		}
		if errors.Is(err, os.ErrProcessDone) || errors.Is(err, syscall.ESRCH) {
			_ = os.RemoveAll(filepath.Join(base, e.Name())) // the next process tries again
		}
	}
}
