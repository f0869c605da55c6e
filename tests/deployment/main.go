// Reads what deployments are made of as the programs do that they are for, and refuses what these would refuse or overlook.
//
//	deployment manifests <RENDERED.yaml    objects of Kubernetes: known kinds, and no field that the kind does not have
//	deployment compose FILE                a file of Compose
//	deployment dashboards FILE…            dashboards of Grafana
//
// The first two print what they have read as JSON.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	yamlReader "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

func main() {
	var err error
	switch arguments := os.Args[1:]; {
	case len(arguments) == 1 && arguments[0] == "manifests":
		err = manifests(os.Stdin)
	case len(arguments) == 2 && arguments[0] == "compose":
		err = compose(arguments[1])
	case len(arguments) > 1 && arguments[0] == "dashboards":
		err = dashboards(arguments[1:])
	default:
		err = errors.New("usage: deployment manifests | compose FILE | dashboards FILE…")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// kinds has a value of each kind that the chart makes.
var kinds = map[string]func() any{
	"v1/ConfigMap":                            func() any { return &core.ConfigMap{} },
	"v1/Secret":                               func() any { return &core.Secret{} },
	"v1/Service":                              func() any { return &core.Service{} },
	"apps/v1/StatefulSet":                     func() any { return &apps.StatefulSet{} },
	"policy/v1/PodDisruptionBudget":           func() any { return &policy.PodDisruptionBudget{} },
	"networking.k8s.io/v1/NetworkPolicy":      func() any { return &networking.NetworkPolicy{} },
	"monitoring.coreos.com/v1/ServiceMonitor": func() any { return &monitoring.ServiceMonitor{} },
	"monitoring.coreos.com/v1/PrometheusRule": func() any { return &monitoring.PrometheusRule{} },
}

func manifests(from io.Reader) error {
	objects := []any{}
	reader := yamlReader.NewYAMLReader(bufio.NewReader(from))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return json.NewEncoder(os.Stdout).Encode(objects)
		}
		if err != nil {
			return err
		}
		var head struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
		}
		if err := yaml.Unmarshal(document, &head); err != nil {
			return fmt.Errorf("%w in\n%s", err, document)
		}
		if head.Kind == "" {
			continue
		}
		known, ok := kinds[head.APIVersion+"/"+head.Kind]
		if !ok {
			return fmt.Errorf("no kind that is known here: %s/%s", head.APIVersion, head.Kind)
		}
		object := known()
		if err := yaml.UnmarshalStrict(document, object); err != nil {
			return fmt.Errorf("%w in\n%s", err, document)
		}
		objects = append(objects, object)
	}
}

func compose(file string) error {
	options, err := cli.NewProjectOptions([]string{file}, cli.WithName("hubgate"))
	if err != nil {
		return err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(project)
}

func dashboards(files []string) error {
	plugins.RegisterDefaultPlugins()
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var board dashboard.Dashboard
		// No finding at all is an empty list of errors there, which is not nil.
		if err := board.UnmarshalJSONStrict(content); err != nil && err.Error() != "" {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return nil
}
